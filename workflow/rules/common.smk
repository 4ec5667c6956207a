# Reads and checks config, table and models. No rules; what the other files need has a name here.

import os
import re
import sys
from pathlib import Path

from snakemake.settings.types import SharedFSUsage


include: "checkout.smk"


# not workflow.basedir, which is another checkout's when this one is a module of it
ROOT = checkout(workflow.current_basedir)
SCRIPTS = ROOT / "workflow" / "scripts"
MODELS_TABLE = ROOT / "config" / "models.yaml"
sys.path.insert(0, str(SCRIPTS))

from bigart.running import code_version
from bigart.running import engines
from bigart.running import environment
from bigart.running import marks
from bigart.running import precision
from bigart.config import project
from bigart.config import options
from bigart.errors import UserError
from bigart.running.files import sha256
from bigart.stages import STAGES

try:
    CONFIG, ARTWORKS, MODELS = project.load(
        config, workflow.configfiles, MODELS_TABLE, ROOT
    )
except UserError as error:
    sys.exit(f"error: {error}")
environment.export(SCRIPTS, Path(CONFIG.models_table or MODELS_TABLE).absolute())
if not workflow.is_main_process:
    marks.leave_to_main_process()

RESULTS = CONFIG.results
VERIFY = f"{RESULTS}/verify"
WEIGHTS = "weights"
CANDIDATES = range(1, CONFIG.candidates + 1)
WARNINGS_SHOWN = 10
PRECISION = precision.resolved(CONFIG.precision)
# a GPU leaves the processor to the other jobs
NETWORK_THREADS = 2 if environment.expects_gpu(CONFIG.device) else 8


wildcard_constraints:
    # not the names themselves: matching a thousand of them takes a third of a run with nothing to do
    artwork="[^/]+",
    format="png|jpg|tif",


def version(name):
    """Return a hash of a stage's code and of all it imports: as a param, it reruns the stage."""
    return code_version.version(SCRIPTS / name)


def grows(limit, upstream=None):
    """Return a resource, in MB or minutes: a limit that doubles when a job is tried again.

    The limits are twice what the stage was measured to take (docs/operating.md), and more where a
    GPU's driver needs memory of the host. `upstream` is the limit where the original networks need
    more.
    """
    if upstream and CONFIG.engine == engines.UPSTREAM:
        limit = upstream
    return lambda wildcards, attempt: limit * 2 ** (attempt - 1)


def networks_environment(architecture, engine=CONFIG.engine):
    """Return the environment of a rule that runs such a network."""
    return f"../../envs/{engines.environment(engine, architecture)}"


def row(wildcards):
    """Return the artwork at hand."""
    if wildcards.artwork not in ARTWORKS:
        hint = options.suggest(wildcards.artwork, ARTWORKS)
        sys.exit(f"error: {CONFIG.table} has no artwork `{wildcards.artwork}`. {hint}")
    return ARTWORKS[wildcards.artwork]


def of_artwork(column):
    """Return a param: the value of a column for the artwork at hand."""
    return lambda wildcards: getattr(row(wildcards), column)


def source(file):
    """Return an input: a model file as it was published, or a user's own."""
    path = os.path.relpath(file.source_path(WEIGHTS))
    # a checkout changes the times of files that the workflow does not make
    return path if file.needs_fetch else ancient(path)


def model(role):
    """Return an input: the model file that a stage reads. Its identity is a param besides."""
    file = MODELS[role]
    return (
        os.path.relpath(file.final_path(WEIGHTS))
        if file.needs_conversion
        else source(file)
    )


def identity(*roles):
    """Return a param that changes when one of these model files is another one."""
    return [MODELS[role].identity() for role in roles]


def chosen_candidate(wildcards):
    """Return the picture at 256 px that `choose` names."""
    return f"{RESULTS}/{wildcards.artwork}/2-upsampled/{row(wildcards).choose}.png"


def picture_to_enlarge(wildcards):
    """Return the picture at 1024 px, with or without invented detail."""
    stage = "5-detailed" if row(wildcards).detail else "4-textured"
    return f"{RESULTS}/{wildcards.artwork}/{stage}-1024.png"


def verify_source(wildcards):
    """Return an input: the native picture of the stage before, or what native computed from."""
    stage = wildcards.stage
    if wildcards.engine == engines.NATIVE:
        stage = STAGES[stage].before
    return f"{VERIFY}/{engines.NATIVE}/{stage}.safetensors" if stage else []


def final_picture(artwork):
    return f"{RESULTS}/{artwork}/final.{ARTWORKS[artwork].format}"


def contact_sheet(artwork):
    return f"{RESULTS}/{artwork}/candidates.png"


def check_packages(environments):
    """Stop before Snakemake removes what is to be made anew, if a job's package is not here.

    Args:
        environments: Names of the files in envs/ of which the packages are needed.
    """
    if workflow.deployment_settings.deployment_method:
        return
    if (
        SharedFSUsage.SOFTWARE_DEPLOYMENT
        not in workflow.storage_settings.shared_fs_usage
    ):
        return  # the jobs run with other packages than this process
    if missing := engines.missing_packages(environments):
        sys.exit("\n".join(f"error: {message}" for message in missing))


def needed_environments():
    """Return the names of the files in envs/ of the jobs that are to run."""
    return {
        Path(job.conda_env_spec.file.get_path_or_uri(secret_free=True)).name
        for job in workflow.dag.needrun_jobs()
        if job.conda_env_spec
    }


def engine_environments():
    """Return the names of the files in envs/ of the engine's networks."""
    return {
        engines.environment(CONFIG.engine, architecture)
        for architecture in engines.PACKAGES
    }


def log_start():
    """Say what is painted with what."""
    logger.info(
        f"BIG.art: {project.counted(len(ARTWORKS), 'artwork')} with the models '{CONFIG.models}' "
        f"({', '.join(model.name for model in MODELS.values() if model.is_network)}), "
        f"engine {CONFIG.engine}, device {CONFIG.device}, precision {PRECISION}. "
        "Each stage says its device, and its time left after the first step."
    )
    warnings = project.unknown_words(CONFIG, ARTWORKS, MODELS)
    for warning in warnings[:WARNINGS_SHOWN]:
        logger.warning(f"warning: {warning}")
    if len(warnings) > WARNINGS_SHOWN:
        logger.warning(
            f"warning: {len(warnings) - WARNINGS_SHOWN} more such lines; "
            "python workflow/scripts/check_config.py shows all"
        )
