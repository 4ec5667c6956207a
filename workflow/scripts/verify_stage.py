"""Run one stage's network on the inputs of the proof, in one engine, for verify_report.py."""

import argparse
import json
import time

import safetensors.torch
import torch
from torch import Tensor

from bigart.commands import command, network_command, sampling_command
from bigart.errors import UserError
from bigart.metadata import recipe
from bigart.pictures import images
from bigart.running import files
from bigart.running.device import Device, peak_memory
from bigart.running.engines import NATIVE
from bigart.stages import NETWORK_STAGES
from bigart.verify import compare
from bigart.verify.compare import INPUT, RESULT
from bigart.verify.work import WORK


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", required=True, choices=list(NETWORK_STAGES))
    parser.add_argument("--model", required=True, help="the network, converted to safetensors")
    parser.add_argument("--vocabulary", required=True, help="encoder.json of the tokenizer")
    parser.add_argument("--merges", required=True, help="vocab.bpe of the tokenizer")
    parser.add_argument(
        "--source",
        nargs="?",
        help="native: this command's file of the stage before, if there is one; "
        "upstream: the native one of the same stage",
    )
    parser.add_argument("--out", required=True, help="the file to write (.safetensors)")
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write the inputs and the results of one stage.

    Raises:
        UserError: The source is not what the stage computes from, or the network cannot be opened.
    """
    job, work = NETWORK_STAGES[arguments.stage], WORK[arguments.stage]
    source = _source(arguments)
    network, device, record = work.open(arguments)
    reader = None
    if job.architecture == "glide":
        reader = sampling_command.prompt_reader(arguments, network, device)
    with device.locked():
        if arguments.engine == NATIVE:
            inputs = work.inputs(network, _picture(source, device) if source else None)
        else:
            assert source is not None
            inputs = {name: _on(device, x) for name, x in source.inputs.items()}
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


def _source(arguments: argparse.Namespace) -> compare.Run | None:
    """Return the native engine's run that this one begins with, where it needs one."""
    native = arguments.engine == NATIVE
    wanted = NETWORK_STAGES[arguments.stage].before if native else arguments.stage
    source = compare.read(arguments.source) if arguments.source else None
    if wanted and not (source and source.is_native and source.facts["stage"] == wanted):
        raise UserError(f"--source is to be the native engine's file of the stage {wanted}")
    if source and not wanted:
        raise UserError(f"--source is to be left out: {arguments.stage} is the first stage")
    return source


def _picture(source: compare.Run, device: Device) -> Tensor:
    """Return the picture that a stage made, (1, 3, height, width) in [0, 1]."""
    return _on(device, images.to_float(source.results["picture"])[None])


def _on(device: Device, array: compare.Array) -> Tensor:
    return torch.from_numpy(array).to(device.device)


if __name__ == "__main__":
    main()
