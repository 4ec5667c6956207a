"""Run one stage's network on the inputs of the proof, in one engine, for verify_report.py."""

import argparse
import json
import time

import safetensors.torch
import torch

from bigart.commands import command, network_command
from bigart.errors import UserError
from bigart.metadata import recipe
from bigart.pictures import images
from bigart.running import files
from bigart.running.device import peak_memory
from bigart.running.engines import NATIVE
from bigart.stages import COMPARED
from bigart.verify import compare, work


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", required=True, choices=list(COMPARED))
    parser.add_argument("--vocabulary", required=True, help="encoder.json of the tokenizer")
    parser.add_argument("--merges", required=True, help="vocab.bpe of the tokenizer")
    parser.add_argument("--clip_text", help="the text encoder, for CLIP's stage")
    parser.add_argument("--clip_vocabulary", help="CLIP's own vocabulary, if the set has it")
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
    stage = COMPARED[arguments.stage]
    source = _source(arguments)
    network, device, record = work.open_network(arguments)
    reader = work.prompt_reader(arguments, network, device, record)
    inputs_of, compute = work.WORK[stage.architecture]
    with device.locked():
        if source and arguments.engine != NATIVE:
            inputs = {name: torch.from_numpy(x) for name, x in source.inputs.items()}
        else:
            before = None
            if source:
                picture = images.to_float(source.results["picture"])
                before = torch.from_numpy(picture)[None].to(device.device)
            inputs = inputs_of(network, before)
        inputs = {name: x.to(device.device) for name, x in inputs.items()}
        start = time.monotonic()
        results = compute(network, inputs, reader)
        device.finish()
        seconds = time.monotonic() - start
    facts = {
        **record,
        "stage": arguments.stage,
        "role": stage.role,
        "device": device.name,
        "device_type": device.device.type,
        "seconds": round(seconds, 2),
        "peak_bytes": peak_memory(device.device),
        "versions": recipe.versions(),
    }
    tensors = {
        prefix + name: x.cpu().contiguous()
        for prefix, part in ((compare.INPUT, inputs), (compare.RESULT, results))
        for name, x in part.items()
    }
    with files.atomic(arguments.out) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, {"facts": json.dumps(facts)}))


def _source(arguments: argparse.Namespace) -> compare.Run | None:
    """Return the native engine's run that this one begins with, where it needs one."""
    native = arguments.engine == NATIVE
    wanted = COMPARED[arguments.stage].before if native else arguments.stage
    source = compare.read(arguments.source) if arguments.source else None
    found = source and (source.facts["engine"], source.facts["stage"])
    if found != (wanted and (NATIVE, wanted)):
        what = f"the native engine's file of the stage {wanted}" if wanted else "left out"
        raise UserError(f"--source is to be {what}")
    return source


if __name__ == "__main__":
    main()
