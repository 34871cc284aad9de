"""The advised network, handed over: trained on all training pictures, as a file under its library's own names.

Beside NAME.safetensors lie NAME.json, which says what it is, and, of a network of torchvision or timm, NAME.py, which loads it
without this package.
"""

import inspect
import json
import shutil
from pathlib import Path

from transfercli.advice.advising import Reporting, silent
from transfercli.advice.answer import Advice
from transfercli.advice.arms import Way
from transfercli.networks.heads import put_head
from transfercli.plan.networks import Network
from transfercli.system.devices import pick_device
from transfercli.system.errors import TransferError
from transfercli.system.files import metadata, replacing, write_text
from transfercli.training.train import train

SUFFIX = ".safetensors"
BUILD = {
    "torchvision": """import torchvision


def build(name, arguments):
    heads = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, **{**heads, **arguments})
""",
    "timm": """import timm


def build(name, arguments):
    return timm.create_model(name, pretrained=False, **arguments)
""",
}
USE = '''"""{what}

    python {script} PICTURE...

Needs torch, torchvision, safetensors{extra}; nothing else.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open
{build}

def load(path=Path(__file__).with_name({path!r})):
    """The network, what its input must be, and the names of its classes in the order of its outputs."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"])
        weights = {{name: file.get_tensor(name) for name in file.keys()}}
    network = build(about["builder"]["name"].partition("/")[2], about["builder"]["arguments"])
{crowned}    network.load_state_dict(weights)
    return network.eval(), about["input"], about["classes"]


def prepare(path, wanted):
    """A picture's file as the network's input: float32 (1, 3, crop, crop)."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2 import InterpolationMode, functional

    size, crop = wanted["size"], wanted["crop"]
    picture = decode_image(path, ImageReadMode.RGB, apply_exif_orientation=wanted["orientation"] == "exif")
    how = InterpolationMode(wanted["interpolation"])
    picture = functional.resize(picture, [size, size] if wanted["fit"] == "warp" else [size], how, antialias=True)
    x = functional.center_crop(picture, [size, size]).permute(1, 2, 0).float()
    if wanted["std"]:
        x = x / 255
    if wanted["mean"] is not None:
        x = x - torch.tensor(wanted["mean"])
    first = (size - crop) // 2
    x = x[first : first + crop, first : first + crop] / torch.tensor(wanted["std"] or wanted["divide"])
    if wanted["channels"] == "bgr":
        x = x.flip(2)
    return x.permute(2, 0, 1)[None]


if __name__ == "__main__":
    network, wanted, classes = load()
    for picture in sys.argv[1:]:
        with torch.no_grad():
            scores = network(prepare(picture, wanted))[0, : len(classes)].softmax(0)
        best = int(scores.argmax())
        print(f"{{picture}}: {{classes[best]}} {{scores[best]:.3f}}")
'''

CROWNED = '    put_head(network, **about["builder"]["head"])\n'


def check_place(out: Path) -> None:
    """Raise TransferError where no network can be written."""
    if out.suffix != SUFFIX:
        raise TransferError(f"the network is written as {SUFFIX}, and {out} is called otherwise: --export {out.stem}{SUFFIX}")
    if not out.parent.is_dir():
        raise TransferError(f"there is no folder {out.parent} to write {out.name} into; make it first")
    for beside in (out.with_suffix(".json"), out.with_suffix(".py")):
        if beside.exists() and not out.exists():
            raise TransferError(f"{beside} is there already, and would be written beside {out.name}; choose another name")


def export(
    advice: Advice,
    out: str | Path,
    *,
    device: str = "auto",
    bank_size: int | None = None,
    accept_change: bool = False,
    reporting: Reporting = silent,
) -> list[Path]:
    """Train the advised way on all training pictures, and write NAME.safetensors, NAME.json and NAME.py.

    Killed, the same call goes on where it was. Returns the files. Raises TransferError.
    """
    out, study, recipe = Path(out), advice.study, advice.recipe
    check_place(out)
    network = whole_network(advice)
    with reporting("the advised network") as reporter:
        train(study, [network], pick_device(device), bank_size, reporter, accept_change)
    row, weights = study.row(network), study.folder(network) / "weights.safetensors"
    assert row is not None
    if row["status"].startswith("diverged"):
        raise TransferError(f"the advised way, trained on all training pictures, {row['status']}; look at {weights.parent}")
    if not (about_it := metadata(weights).get("about")):
        raise TransferError(f"{weights} is gone or damaged; remove {weights.parent}, and the same command trains it again")
    told = json.loads(about_it)
    about = {
        "network": told.get("builder", {"name": recipe.network.name}),
        "input": told["input"],
        "classes": told["classes"],
        "status": row["status"],
        "top1": row["top1"],
        "val_pictures": row["val_pictures"],
        "way": advice.verdict.advised.name,
        "frozen": advice.verdict.advised.n,
        "learning_rate": advice.learning_rate(advice.verdict.advised),
        "training": recipe.training.model_dump(mode="json", include={"optimizer", "batch", "schedule", "weight_decay"}),
        "steps": row["step"],
        "advice": advice.sentences,
        "source": advice.kept.asked.source,
        "licence": advice.kept.licence,
        "source_digest": recipe.source.digest if recipe.source else None,
        "weights_digest": row["weights_digest"],
        "versions": {key: row[key] for key in ("torch", "torchvision") if key in row},
    }
    beside = out.with_suffix(".json")
    with replacing(out, "--export FILE") as aside:
        shutil.copyfile(weights, aside)
    write_text(beside, json.dumps(about, indent=1) + "\n", "--export FILE")
    if (library := recipe.network.library) not in BUILD:  # one's own code, or a network of ours: docs/weights.md loads those
        return [out, beside]
    script = out.with_suffix(".py")
    what = f"{recipe.network.name} for {len(told['classes'])} classes: {advice.verdict.advised.name}."
    write_text(script, loading_script(library, what, out, "head" in about["network"]), "--export FILE")
    return [out, beside, script]


def loading_script(library: str, what: str, out: Path, head: bool) -> str:
    """Python that loads the network in `out` into plain torchvision or timm. `head`: it has one of `networks/heads.py`."""
    return USE.format(
        what=what,
        script=out.with_suffix(".py").name,
        extra=", timm" * (library == "timm"),
        build=building(library, head),
        path=out.name,
        crowned=CROWNED * head,
    )


def building(library: str, head: bool) -> str:
    """Python that defines `build(name, arguments)`, and `put_head` where the network has a head of its own."""
    return BUILD[library] + f"\n\n{inspect.getsource(put_head)}" * head


def whole_network(advice: Advice) -> Network:
    """The advised way's network that sees all training pictures: of the first seed beyond the folds."""
    arm = advice.verdict.advised
    return Way(arm.family, arm.n).network(advice.recipe.pictures.folds or 0, advice.rates[arm.name].rate)
