"""Weights: safetensors in half precision, and a JSON record beside them.

They are read into networks of PyTorch (`load_weights`), or of NumPy
(`load_sampler`), which samples as well and spares importing PyTorch.

    python -m diffpy_cbldm.model.weights small.safetensors

writes the checksum of weights into their record, which `save_weights` does by
itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import appearing, write_atomic
from diffpy_cbldm.model.arrays import Array
from diffpy_cbldm.model.drawing import Drawing
from diffpy_cbldm.model.numpy_networks import NumpyCbLDM
from diffpy_cbldm.settings import PRESETS, Model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffpy_cbldm.model.cbldm import CbLDM

TRAINING_ONLY = ("structure.encoder", "condition.decoder")
"""Parts that no candidate asks for; weights may come without them."""


def save_weights(
    model: CbLDM, path: str | os.PathLike[str], record: dict[str, Any]
) -> None:
    """Write ``path`` (safetensors, half precision) and its JSON record.

    Parameters
    ----------
    model : CbLDM
        The trained model.
    path : path
        Ends in ``.safetensors``; the record goes beside it as ``.json``.
    record : dict
        Seed, command, hardware, validation figures; the model's settings
        and the hash of its site table are added.
    """
    record = {
        "schema": "cbldm-weights/1",
        "model": dataclasses.asdict(model.settings),
        "table": model.table.digest,
        **record,
    }
    write_tensors(model.state_dict(), path)
    write_record(record, path)


def write_tensors(
    tensors: dict[str, Tensor], path: str | os.PathLike[str]
) -> None:
    """Write ``path`` (safetensors, half precision), by rename."""
    from safetensors.torch import save_file

    # Half the size; they are read back to single precision.
    halves = {
        k: v.detach().cpu().half().contiguous() if v.is_floating_point() else v
        for k, v in tensors.items()
    }
    with appearing(path) as unfinished:
        save_file(halves, unfinished)


def write_record(record: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the JSON record of the weights in ``path`` beside them.

    The SHA-256 of the weights, which are there already, is added.
    """
    record = {**record, "sha256": _sha256(Path(path))}
    text = json.dumps(record, indent=1) + "\n"
    write_atomic(Path(path).with_suffix(".json"), text)


def read_weights(
    name: str = "small",
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and record by preset name (packaged) or path.

    Parameters
    ----------
    name : str
        A preset whose weights ship with the package, or the path of a
        ``.safetensors`` file with its ``.json`` beside it.

    Returns
    -------
    tensors : dict of str to float32 tensor
    record : dict

    Raises
    ------
    CbldmError
        There are no such weights, they are damaged, or they belong to
        another site table.
    """
    import torch

    arrays, record = read_arrays(name)
    return {k: torch.from_numpy(v) for k, v in arrays.items()}, record


def read_arrays(
    name: str = "small", without: tuple[str, ...] = ()
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """`read_weights` as float32 arrays of NumPy.

    Parameters
    ----------
    without : tuple of str
        Parts, as in `TRAINING_ONLY`, that are not read.
    """
    path, shipped = Path(name), False
    if path.suffix != ".safetensors":
        folder, shipped = (
            resources.files("diffpy_cbldm").joinpath("weights"),
            True,
        )
        path = Path(str(folder)) / f"{name}.safetensors"
    if not path.is_file():
        raise CbldmError(
            f"there are no weights {name!r}; expected a preset with packaged "
            f"weights (of {', '.join(PRESETS)}) or a .safetensors file."
        )
    try:
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
        # Weights of earlier versions have none.
        if record.get("sha256", "") not in ("", _sha256(path)):
            raise ValueError("the checksum is another one")
        table = str(record["table"])
        arrays = _singles(path, without)
    except Exception as error:  # safetensors has errors of its own
        remedy = (
            "reinstall with pip install --force-reinstall --no-deps "
            "diffpy_cbldm"
            if shipped
            else "copy both files again, or train them again"
        )
        raise CbldmError(
            f"the weights {name!r} or their record are damaged "
            f"({type(error).__name__}: {error}); expected {path} and its "
            f".json as they were written: {remedy}."
        ) from error
    # The decoder's outputs are numbers of sites: on another table they mean
    # other sites, and nothing else would tell.
    digest = load_table().digest
    if table != digest:
        raise CbldmError(
            f"the weights {name!r} were trained on another table of sites "
            f"({table[:12]}); expected {digest[:12]}: train them "
            "again."
        )
    return arrays, record


def _singles(path: Path, without: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file in single precision."""
    starts = tuple(f"{part}." for part in without)
    try:
        found = _tensors(path, starts, "numpy")
        return {key: value.astype(np.float32) for key, value in found}
    except TypeError:  # bfloat16, which NumPy does not have
        found = _tensors(path, starts, "pt")
        return {key: value.float().numpy() for key, value in found}


def _tensors(
    path: Path, without: tuple[str, ...], framework: str
) -> Iterator[tuple[str, Any]]:
    """The tensors of a safetensors file whose names do not begin so."""
    from safetensors import safe_open

    with safe_open(path, framework=framework) as stream:
        # One at a time: the halves need not all be held as well.
        for key in stream.keys():
            if not key.startswith(without):
                yield key, stream.get_tensor(key)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_weights(
    name: str = "small", device: str | torch.device = "cpu"
) -> CbLDM:
    """A trained model in PyTorch, ready to sample.

    Parameters
    ----------
    name : str
        As in `read_weights`.
    device : str
        Where the model shall live.

    Returns
    -------
    CbLDM
        Without its `TRAINING_ONLY` parts where the weights lack them.

    Raises
    ------
    CbldmError
        As for `read_weights`, or other weights are missing.
    """
    from diffpy_cbldm.model.cbldm import CbLDM

    tensors, record = read_weights(name)
    model = CbLDM(_settings(name, record))
    parts = {part: f"{part}." for part in TRAINING_ONLY}
    wanted = {
        key: tuple(value.shape)
        for key, value in model.state_dict().items()
        # The parts that only training uses may be left out.
        if key in tensors or not key.startswith(tuple(parts.values()))
    }
    _check_fit(name, wanted, tensors)
    fit = model.load_state_dict(tensors, strict=False)
    # Random weights would pass for trained ones: such parts are taken out.
    for part, start in parts.items():
        if any(key.startswith(start) for key in fit.missing_keys):
            owner, _, attribute = part.rpartition(".")
            setattr(model.get_submodule(owner), attribute, None)
    return model.to(device).eval()


def load_sampler(name: str = "small", device: str = "auto") -> Drawing:
    """A trained model as a job takes it: in NumPy where that will do.

    A job calls the denoiser some 15 times, which takes less time than
    importing PyTorch, and less than a GPU takes to start.

    Parameters
    ----------
    name : str
        As in `read_weights`.
    device : {"auto", "cpu", "cuda"}
        ``cuda`` takes PyTorch and a GPU.  Otherwise networks that decode
        Laplacians take PyTorch, ``auto`` on a GPU if there is one; the
        others take NumPy.

    Returns
    -------
    NumpyCbLDM or CbLDM

    Raises
    ------
    CbldmError
        As for `load_weights`; or the device is ``cuda``, and none is there.
    """
    if device != "cuda":
        arrays, record = read_arrays(name, TRAINING_ONLY)
        settings = _settings(name, record)
        if settings.network != "laplacian":
            return _in_numpy(name, settings, arrays)
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise CbldmError(
            "device is 'cuda', but no CUDA device is there: pass "
            "--device cpu."
        )
    return load_weights(name, device)


def _in_numpy(
    name: str, settings: Model, arrays: dict[str, np.ndarray]
) -> NumpyCbLDM:
    """The networks of NumPy with the weights of a file."""
    model = NumpyCbLDM(settings)
    layers = dict(model.named())
    wanted = {
        start + key: shape
        for start, layer in layers.items()
        for key, shape in layer.shapes.items()
    }
    _check_fit(name, wanted, arrays)
    for start, layer in layers.items():
        layer.take({key: arrays[start + key] for key in layer.shapes})
    return model


def _settings(name: str, record: dict[str, Any]) -> Model:
    """The settings of the model in a record."""
    try:
        return Model(**record["model"])
    except (KeyError, TypeError) as error:
        raise CbldmError(
            f"the record of the weights {name!r} has no settings of a model "
            f"that is known here ({error}); expected those of `Model`: take "
            "both files from one training run of this version."
        ) from None


def _check_fit(
    name: str,
    wanted: dict[str, tuple[int, ...]],
    found: Mapping[str, Array],
) -> None:
    """Complain where a file has other weights than the networks take.

    Parameters
    ----------
    name : str
        Of the weights.
    wanted : dict of str to tuple of int
        The shapes of those that the networks take.
    found : mapping of str to array
        Those of the file.
    """
    shapes = {key: tuple(value.shape) for key, value in found.items()}
    lost = [k for k, shape in wanted.items() if shapes.get(k) != shape]
    more = [k for k in shapes if k not in wanted]
    if lost or more:
        raise CbldmError(
            f"the weights {name!r} do not fit their record: expected "
            f"{', '.join(lost) or 'nothing'} in addition, and found "
            f"{', '.join(more) or 'nothing'} that has no place: take both "
            "files from one training run."
        )


def main(words: Sequence[str] | None = None) -> None:
    """Write the checksum of weights into their record."""
    parser = argparse.ArgumentParser(
        "python -m diffpy_cbldm.model.weights", description=main.__doc__
    )
    parser.add_argument("path", type=Path, help="a .safetensors file")
    path = parser.parse_args(words).path
    record = json.loads(path.with_suffix(".json").read_text("utf-8"))
    write_record(record, path)


if __name__ == "__main__":
    main()
