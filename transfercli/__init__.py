"""transfer: how transferable are the features of a deep network? (Yosinski et al., NIPS 2014)"""

__version__ = "0.1.0"
