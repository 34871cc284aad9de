"""Networks: chains of layers, how they are built, drawn and begun, and how their weights describe themselves."""

from transfercli.networks.eight import caffenet, chatfield, small

__all__ = ["caffenet", "chatfield", "small"]
