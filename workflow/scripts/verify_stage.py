"""Run one stage's network on the inputs of the proof, in one engine, for verify_report.py."""

import argparse
import json
import logging
import time

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bigart import cli, files, recipe, stage
from bigart.devices import peak_memory
from bigart.engines import NATIVE, UPSTREAM
from bigart.errors import UserError
from bigart.glide.stages import Reader
from bigart.network_stages import STAGES
from bigart.verification import WORK

log = logging.getLogger("bigart")

INPUT, RESULT = "input/", "result/"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", required=True, choices=list(STAGES))
    parser.add_argument("--model", required=True, help="the network, converted to safetensors")
    parser.add_argument("--vocabulary", required=True, help="encoder.json of the tokenizer")
    parser.add_argument("--merges", required=True, help="vocab.bpe of the tokenizer")
    parser.add_argument(
        "--source",
        nargs="*",
        default=[],
        help="native: this command's file of the stage before, if there is one; "
        "upstream: the native one of the same stage",
    )
    parser.add_argument("--out", required=True, help="the file to write (.safetensors)")
    stage.add_arguments(parser)
    cli.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write the inputs and the results of one stage."""
    job, work = STAGES[arguments.stage], WORK[arguments.stage]
    network, device, record = work.open(arguments)
    found = {name: x for file in arguments.source for name, x in _read(file).items()}
    before = found.get(f"{RESULT}picture") if arguments.engine == NATIVE else None
    inputs = {name.removeprefix(INPUT): x for name, x in found.items() if name.startswith(INPUT)}
    if arguments.engine == NATIVE and (before is None) != (job.before is None):
        wanted = f"the native file of the stage {job.before}" if job.before else "left out"
        raise UserError(f"--source is to be {wanted}")
    if arguments.engine == UPSTREAM and not inputs:
        raise UserError("--source is to be the native engine's file of the same stage")
    reader = Reader(arguments, network, device) if job.architecture == "glide" else None
    with device.turn():
        if arguments.engine == NATIVE:
            if before is not None:
                before = (before.permute(2, 0, 1)[None].float() / 255).to(device.device)
            inputs = work.inputs(network, before)
        inputs = {name: x.to(device.device) for name, x in inputs.items()}
        start = time.monotonic()
        results = work.compute(network, inputs, reader)
        device.finish()
        seconds = time.monotonic() - start
    facts = {
        **record,
        "stage": arguments.stage,
        "role": job.role,
        "device": device.name,
        "device_type": device.device.type,
        "seconds": round(seconds, 2),
        "peak_bytes": peak_memory(device.device),
        "versions": recipe.versions(),
    }
    tensors = {INPUT + name: x for name, x in inputs.items()}
    tensors |= {RESULT + name: x for name, x in results.items()}
    tensors = {name: x.cpu().contiguous() for name, x in tensors.items()}
    with files.atomic(arguments.out) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, {"facts": json.dumps(facts)}))


def _read(path: str) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}); remove it and run again") from None


if __name__ == "__main__":
    main()
