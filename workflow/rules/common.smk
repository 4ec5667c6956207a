# Reads and checks config, table and models. No rules; what the other files need has a name here.

import functools
import inspect
import os
import re
import sys
from pathlib import Path


include: "internals.smk"


ROOT = checkout()
SCRIPTS = ROOT / "workflow" / "scripts"
MODELS_TABLE = ROOT / "config" / "models.yaml"
sys.path.insert(0, str(SCRIPTS))

try:
    from bigart.config import print_size, prints, project, sources, sweeps
except ImportError as error:
    sys.exit(f"error: Snakemake's Python needs pandas and pydantic: {error}")
from bigart.config.options import AUTO, DEFAULTS
from bigart.errors import UserError, suggest, together
from bigart.metadata import made
from bigart.running import code_version, engines, environment
from bigart.running.files import sha256
from bigart.stages import COMPARED, INSTEAD, STAGES
from bigart.weights.table import CLIP_ROLES

try:
    CONFIG, ARTWORKS, MODELS = project.load(config, config_files(), MODELS_TABLE, ROOT)
except UserError as error:
    sys.exit(f"error: {error}")
environment.show_any_text()
environment.export(SCRIPTS, Path(CONFIG.models_table or MODELS_TABLE).absolute())

RESULTS = CONFIG.results
# artworks with candidates: all but pictures of one's own that are only enlarged
PAINTED = [artwork for artwork, row in ARTWORKS.items() if not row.is_enlarged_only]
VERIFY = f"{RESULTS}/verify"
# what both engines are compared in
VERIFIED = {name: stage for name, stage in COMPARED.items() if stage.role in MODELS}
SWEEPS = sweeps.grouped(ARTWORKS.values())
GALLERY = f"{RESULTS}/gallery"
WEIGHTS = "weights"
CANDIDATES = range(1, CONFIG.candidates + 1)
WARNINGS_SHOWN = 10
# how many times it enlarges -> role
ENLARGERS = {4: "enlarger", 2: "enlarger_x2"}
SAID = []  # what is said once
# Stage -> artwork -> pictures that a person put there. A process that runs one job need not know.
KEPT = {}
if is_main_process():
    try:
        formats = {artwork.artwork: artwork.format for artwork in ARTWORKS.values()}
        KEPT = made.kept(RESULTS, formats, CONFIG.candidates)
    except UserError as error:
        sys.exit(f"error: {error}")
PUT_BY_HAND = {
    f"{RESULTS}/{artwork}/{name}": digest
    for artworks in KEPT.values()
    for artwork, pictures in artworks.items()
    for name, digest in pictures.items()
}
# a GPU leaves the processor to the other jobs
NETWORK_THREADS = 2 if environment.expects_gpu(CONFIG.device) else 8


wildcard_constraints:
    # not the names themselves: matching a thousand of them takes a third of a run with nothing to do
    artwork="[^/]+",
    format="png|jpg|tif",


# The table


def known(function):
    """Keep the signature of a function that Snakemake asks for again for every job."""
    function.__signature__ = inspect.signature(function)
    return function


def row(wildcards):
    """Return the artwork at hand."""
    if wildcards.artwork not in ARTWORKS:
        hint = suggest(wildcards.artwork, ARTWORKS)
        if wildcards.artwork in SWEEPS:
            names = [artwork.artwork for artwork in SWEEPS[wildcards.artwork]]
            hint = f"That row lists values, and stands for {names[0]} to {names[-1]}."
        sys.exit(f"error: {CONFIG.table} has no artwork `{wildcards.artwork}`. {hint}")
    return ARTWORKS[wildcards.artwork]


@known
def chosen_candidate(wildcards):
    """Return an input: the picture at 256 px that `choose` names, or CLIP's choice."""
    if chosen := chosen_by_clip(wildcards):
        return chosen["chosen"]
    file = STAGES["upsampled"].file.format(candidate=row(wildcards).choose)
    return f"{RESULTS}/{wildcards.artwork}/{file}"


@known
def chosen_by_clip(wildcards):
    """Return an input, `chosen`, where CLIP chooses the candidate."""
    artwork = row(wildcards)
    if artwork.choose != AUTO:
        return {}
    return {"chosen": f"{RESULTS}/{artwork.artwork}/{STAGES['chosen'].file}"}


@known
def picture_to_enlarge(wildcards):
    """Return an input: the picture at 1024 px, with or without invented detail.

    Without it, a picture of one's own stays as it is.
    """
    if row(wildcards).is_enlarged_only and not row(wildcards).detail:
        return f"{RESULTS}/{wildcards.artwork}/{STAGES['picture'].file}"
    stage = STAGES["detailed" if row(wildcards).detail else "textured-1024"]
    return f"{RESULTS}/{wildcards.artwork}/{stage.file}"


@functools.cache
def picture_side():
    """Return the side of the picture at `enlarged_4096`, in pixels."""
    return prints.ENLARGED * prints.side(MODELS, WEIGHTS)


def enlargements(artwork):
    """Return by how much the picture is enlarged for its print, one time after the other."""
    return prints.factors(ARTWORKS[artwork], MODELS, picture_side())


def by_hand_now(artwork, name):
    """Return whether a person put a picture in a stage's place; every process finds the same."""
    return bool(made.replaced(Path(RESULTS, artwork), [STAGES[name].file]))


@known
def picture_of_print(wildcards):
    """Return an input: the picture that a print is made from, before it is enlarged for that.

    It has its grain where it keeps its size, or a person has had it in hand.
    """
    artwork, name = row(wildcards), "textured-4096"
    if artwork.size != print_size.AUTO and not by_hand_now(artwork.artwork, name):
        name = "enlarged-4096"
    return f"{RESULTS}/{artwork.artwork}/{STAGES[name].file}"


@known
def picture_to_finish(wildcards):
    """Return an input of a print: `grained` or, where grain is still to be added, `image`."""
    source = picture_of_print(wildcards)
    kind = "grained" if source.endswith(STAGES["textured-4096"].file) else "image"
    if enlargements(wildcards.artwork):
        source = f"{RESULTS}/{wildcards.artwork}/{STAGES['enlarged-print'].file}"
    return {kind: source}


@known
def networks_of_print(wildcards):
    """Return inputs: the network that enlarges for a print, and `model_x2` where it needs both."""
    found = enlargements(row(wildcards).artwork)
    networks = [model(ENLARGERS[factor]) for factor in dict.fromkeys(found)]
    networks = networks or [model("enlarger")]
    return dict(zip(["model", "model_x2"], networks))


@known
def networks_identity(wildcards):
    """Return a param: the identity of these networks, and how often they enlarge."""
    found = enlargements(row(wildcards).artwork)
    return [f"x{factor} {MODELS[ENLARGERS[factor]].identity()}" for factor in found]


def final_picture(artwork):
    return f"{RESULTS}/{artwork}/final.{ARTWORKS[artwork].format}"


@known
def final_of(wildcards):
    """Return an input: the final picture."""
    return final_picture(row(wildcards).artwork)


def proof(artwork):
    return f"{RESULTS}/{artwork}/{STAGES['proof'].file}"


def contact_sheet(artwork):
    return f"{RESULTS}/{artwork}/{STAGES['contact-sheet'].file}"


def own_file(column):
    """Return an input: a file of one's own that the table names. Its content is a param besides."""

    def path(wildcards):
        found = getattr(row(wildcards), column)
        # a checkout changes the times of files that the workflow does not make
        return ancient(found)

    return known(path)


def own_content(column):
    """Return a param: the hash of that file."""
    return known(lambda wildcards: sources.digest(getattr(row(wildcards), column)))


def picture_of(wildcards):
    """Return an input: the picture of one's own, as the workflow took it."""
    return f"{RESULTS}/{wildcards.artwork}/{STAGES['picture'].file}"


def former_of(wildcards):
    """Return an input: the final picture of which a part is painted anew."""
    return final_picture(row(wildcards).repaint)


def former_by_hand(pictures):
    """Return a function of the wildcards: these pictures and that one."""

    def both(wildcards):
        found = pictures(wildcards)
        return [*([found] if isinstance(found, str) else found), former_of(wildcards)]

    return both


def painter(role):
    """Return the role of the network that paints a part anew: for inpainting, or the usual one."""
    return f"{role}_inpaint" if f"{role}_inpaint" in MODELS else role


# Model files


def source(file):
    """Return an input: a model file as it was published, or a user's own."""
    path = os.path.relpath(file.source_path(WEIGHTS))
    # a checkout changes the times of files that the workflow does not make
    return path if file.needs_fetch else ancient(path)


def model(role):
    """Return an input: the model file of a role. Its identity is a param besides."""
    file = MODELS[role]
    if file.needs_conversion:
        return os.path.relpath(file.final_path(WEIGHTS))
    return source(file)


def network(name):
    """Return an input: the network of a stage."""
    return model(STAGES[name].role)


def identity(*roles):
    """Return a param that changes when one of these model files is another one."""
    return [MODELS[role].identity() for role in roles]


@known
def enlargers(wildcards):
    """Return inputs: the networks that enlarge, `model_x2` where the set has one."""
    roles = {"model": "enlarger", "model_x2": "enlarger_x2"}
    return {name: model(role) for name, role in roles.items() if role in MODELS}


def enlargers_identity():
    """Return a param: the identity of these networks."""
    return identity(*(role for role in ENLARGERS.values() if role in MODELS))


@known
def clip_files(wildcards):
    """Return inputs: the model files of noised CLIP, where the set has them."""
    return {role: model(role) for role in CLIP_ROLES if role in MODELS}


@known
def clip_identity(wildcards):
    """Return a param: the identity of these and of the base network."""
    roles = [role for role in CLIP_ROLES if role in MODELS]
    return identity("base", "vocabulary", "merges", *roles)


@known
def judge_files(wildcards):
    """Return inputs: what judges the candidates. Their times do not matter: a choice stays."""
    roles = ("vocabulary", "merges", *clip_files(wildcards))
    return {role: ancient(model(role)) for role in roles}


@known
def judged_pictures(wildcards):
    """Return an input: the candidates, and their thumbnails, which CLIP sees."""
    return all_of("thumbnails")(wildcards) + all_of("upsampled")(wildcards)


# Sweeps


def swept(wildcards):
    """Return the artworks of a sweep."""
    if wildcards.sweep not in SWEEPS:
        hint = suggest(wildcards.sweep, SWEEPS)
        sys.exit(
            f"error: {CONFIG.table} has no row `{wildcards.sweep}` that lists values. {hint}"
        )
    return SWEEPS[wildcards.sweep]


@known
def swept_pictures(wildcards):
    """Return an input: the previews of the final pictures, or all candidates."""
    files = [STAGES["preview"].file]
    if wildcards.shows == "candidates":
        file = STAGES["upsampled"].file
        files = [file.format(candidate=candidate) for candidate in CANDIDATES]
    artworks = [artwork.artwork for artwork in swept(wildcards)]
    return [f"{RESULTS}/{artwork}/{file}" for artwork in artworks for file in files]


@known
def swept_by_hand(wildcards):
    """Return a param: which of the pictures were put there by hand, and their hashes."""
    return by_hand(swept_pictures, wildcards)


@known
def grid_arguments(wildcards):
    """Return a param: the command line of a grid, but for its log and the sheet."""
    artworks = swept(wildcards)
    axes = sweeps.axes(artworks)
    return [
        f"--results={RESULTS}",
        f"--row={wildcards.sweep}",
        *(f"--axis={column}={'|'.join(values)}" for column, values in axes.items()),
        f"--show={wildcards.shows}",
        f"--candidates={CONFIG.candidates}",
        f"--prompt={artworks[0].prompt}",
    ]


def all_grids(wildcards):
    """Return an input: the grids of all sweeps."""
    if not SWEEPS:
        sys.exit(
            f"error: no row of {CONFIG.table} lists values. A sweep is a cell such as `1..5` or "
            "`2|3|4`, in any column but the texts."
        )
    return grids()


def grids():
    return [
        f"{RESULTS}/sweeps/{name}/{shows}.png"
        for name in SWEEPS
        for shows in ("finals", "candidates")
        if shows == "finals" or not SWEEPS[name][0].is_enlarged_only
    ]


# Verification


def verify_network(wildcards):
    """Return an input: the network of the stage at hand."""
    return model(COMPARED[wildcards.stage].role)


@known
def verify_clip(wildcards):
    """Return inputs: what CLIP needs besides its image encoder, for its own stage."""
    if COMPARED[wildcards.stage].role != "clip_image":
        return {}
    files = clip_files(wildcards)
    return {role: files[role] for role in files if role != "clip_image"}


@known
def clip_arguments(wildcards, input):
    """Return a param: the flags of these."""
    return [
        word
        for kind, file in input.items()
        if kind in CLIP_ROLES
        for word in (f"--{kind}", file)
    ]


def verify_source(engine):
    """Return an input: the previous stage's result, or native's of this one, with its inputs."""

    def source(wildcards):
        stage = wildcards.stage
        if engine == engines.NATIVE:
            stage = COMPARED[stage].before
        return f"{VERIFY}/{engines.NATIVE}/{stage}.safetensors" if stage else []

    return source


# What a rule of a stage is made of


def makes(name):
    """Return the constraint of a stage's artworks: not those where a person put a picture.

    So Snakemake takes it for a file that nothing makes, like a person's others. Of two stages that
    write the same files, each has its own artworks.
    """
    first = INSTEAD.get(name, name)
    left_out = {*KEPT.get(first, ())}
    own = {
        key for key, artwork in ARTWORKS.items() if prints.doing(first, artwork) == name
    }
    if name in INSTEAD:
        return "|".join(map(re.escape, sorted(own - left_out))) or "(?!)"
    if first in INSTEAD.values():
        left_out |= ARTWORKS.keys() - own
    kept = "|".join(map(re.escape, sorted(left_out)))
    return rf"(?!(?:{kept})(?:/|$))[^/]+" if kept else "[^/]+"


def result(name):
    """Return the outputs: the stage's file, or one for each candidate."""
    file = f"{RESULTS}/{{artwork}}/{STAGES[name].file}"
    if "{candidate}" not in file:
        return file
    return expand(file, candidate=CANDIDATES, allow_missing=True)


def log_file(name, suffix=".log"):
    """Return the log beside the results."""
    return f"{RESULTS}/{{artwork}}/log/{STAGES[name].log}{suffix}"


def environment_of(architecture, engine=CONFIG.engine, own=""):
    """Return the environment of the packages that run a network of that architecture.

    A stage may need one of its `own` where the engine is native.
    """
    if own and engine == engines.NATIVE:
        return f"../../envs/{own}"
    return f"../../envs/{engines.environment(engine, architecture)}"


def limits(name):
    """Return the resources that bound a stage: memory in MB and time in minutes."""
    stage = STAGES[name]
    if name in (*prints.GROWING, "proof"):
        return {
            "mem_mb": grows_with_size(stage, prints.mem_mb),
            "runtime": grows_with_size(stage, prints.runtime),
        }
    upstream = CONFIG.engine == engines.UPSTREAM
    return {
        "mem_mb": grows(upstream and stage.upstream_mem_mb or stage.mem_mb),
        "runtime": grows(upstream and stage.upstream_runtime or stage.runtime),
    }


@functools.cache
def grows(limit):
    """Return a resource that doubles when a job is tried again."""
    return known(lambda wildcards, attempt: limit * 2 ** (attempt - 1))


def grows_with_size(stage, limit):
    """Return a resource that depends on the size of the print, and doubles like the others."""
    return known(
        lambda wildcards, attempt: limit(stage, row(wildcards), MODELS, picture_side())
        * 2 ** (attempt - 1)
    )


def all_of(name):
    """Return an input: all pictures of a stage."""
    files = result(name)
    files = [files] if isinstance(files, str) else files
    return known(
        lambda wildcards: [file.format(artwork=wildcards.artwork) for file in files]
    )


def changed(name, pictures=None, options=True):
    """Return a param: what differs from the usual, of what the stage is made with.

    Snakemake reruns when it changes. So an option that is new changes nothing, until it is used.
    A picture that was put there by hand, or is there no more, counts whatever its time.

    Args:
        name: The stage.
        pictures: An input: the pictures that it reads.
        options: Whether its options count.
    """
    stage = STAGES[name]
    own = [(option, DEFAULTS.get(option)) for option in sorted(stage.options.values())]
    own = own if options else []
    common = ("engine", "precision") if stage.role else ()
    of_config = [
        f"{option}={getattr(CONFIG, option)}"
        for option in common
        if getattr(CONFIG, option) != DEFAULTS.get(option)
    ]

    def differences(wildcards):
        artwork = row(wildcards)
        found = [
            (option, prints.compared(name, artwork, option), usual)
            for option, usual in own
        ]
        differing = [
            f"{option}={value}" for option, value, usual in found if value != usual
        ]
        return differing + of_config + by_hand(pictures, wildcards)

    return known(differences)


def by_hand(pictures, wildcards):
    """Return which pictures of an input were put there by hand, and their hashes.

    Args:
        pictures: The input, a function of the wildcards; or None.
        wildcards: Those of the job.
    """
    if not PUT_BY_HAND or not pictures:
        return []
    paths = pictures(wildcards)
    paths = [paths] if isinstance(paths, str) else paths
    return [
        f"{path} by hand: {PUT_BY_HAND[path]}" for path in paths if path in PUT_BY_HAND
    ]


def arguments(name, *fixed):
    """Return a param: the command line of a stage, but for its log and threads.

    Snakemake does not compare it, since it depends on inputs and outputs.

    Args:
        name: The stage.
        fixed: Arguments that are the same for every artwork.
    """
    stage = STAGES[name]
    if "{candidate}" in stage.file:
        fixed += ("--batch", str(CONFIG.batch))
    if stage.role:
        fixed += ("--device", CONFIG.device, "--precision", CONFIG.precision)
        fixed += ("--engine", CONFIG.engine)

    def of_artwork(wildcards, input, output):
        artwork = row(wildcards)
        found = [
            f"{flag}={getattr(artwork, option)}"
            for flag, option in stage.options.items()
        ]
        if "--prompt" in stage.options:
            found.append(f"--artwork={artwork.artwork}")
        for kind, files in input.items():
            # `=`, since a file may be called -photo.jpg
            found += (
                [f"--{kind}={files}"]
                if isinstance(files, str)
                else [f"--{kind}", *files]
            )
        return [*found, *fixed, "--out", *output]

    return known(of_artwork)


def code(command, engine=CONFIG.engine, roles=(), without=()):
    """Return a param: a hash of the code that computes pixels in a command.

    Args:
        command: Its file.
        engine: Whose networks it runs.
        roles: Of the model files that it may read, if these are not all of one architecture.
        without: Modules of the library that the stage does not use.
    """
    architectures = {MODELS[role].architecture for role in roles if role in MODELS}
    return code_version.version(SCRIPTS / command, engine, architectures, without)


# The gallery and the report


def preview_of(artwork):
    return f"{RESULTS}/{artwork}/{STAGES['preview'].file}"


def views(artwork, kind="final"):
    """Return the folder of an artwork's renderings: `final` or `candidates`."""
    return f"{GALLERY}/{artwork}/{kind}"


@known
def compared_stages(wildcards):
    """Return an input: the pictures that are laid beside the final one, one a stage."""
    files = {
        "picture": f"{RESULTS}/{wildcards.artwork}/{STAGES['picture'].file}",
        "upsampled": chosen_candidate(wildcards),
        **{
            name: f"{RESULTS}/{wildcards.artwork}/{STAGES[name].file}"
            for name in ("enlarged-1024", "textured-1024")
        },
        "detailed": picture_to_enlarge(wildcards),
    }
    return [files[name] for name in compared(row(wildcards))]


def compared(artwork):
    """Return the names of the stages that are laid beside the final picture."""
    names = ["upsampled", "enlarged-1024", "textured-1024"]
    if artwork.is_enlarged_only:
        names = ["picture", *names[1:]] if artwork.detail else ["picture"]
    return [*names, "detailed"] if artwork.detail else names


@known
def stage_arguments(wildcards, input):
    """Return a param: a flag and the file for each stage."""
    names = compared(row(wildcards))
    pairs = zip(names, input.stages, strict=True)
    return [word for name, file in pairs for word in (f"--{name}", file)]


@known
def views_by_hand(wildcards):
    """Return a param: pictures by hand among those of the final's renderings."""
    stages = by_hand(compared_stages, wildcards)
    return by_hand(final_of, wildcards) + stages


@known
def candidates_by_hand(wildcards):
    """Return a param: pictures by hand among the candidates."""
    return by_hand(all_of("upsampled"), wildcards)


@known
def said_on_page(wildcards):
    """Return a param: a hash of what the page says besides the pictures."""
    from bigart.config import gallery

    return gallery.digest(CONFIG, ARTWORKS)


@known
def finals_shown(wildcards):
    """Return a param: the artworks whose final pictures are shown beside the candidates."""
    return [name for name in ARTWORKS if Path(views(name)).exists()]


def settings_of_page():
    """Return a param: the config as JSON, without what the page does not depend on."""
    return CONFIG.model_dump_json(exclude={"device", "batch", "precision"})


@known
def shown_in_report(wildcards):
    """Return an input of `all` in a report: what `gallery` has made for it."""
    if not only_described():
        return []
    files = [
        file
        for name in ARTWORKS
        for file in (
            preview_of(name),
            f"{GALLERY}/{name}/candidates.jpg",
            f"{GALLERY}/{name}/recipe.html",
        )
    ]
    return [file for file in files if Path(file).exists()]


def labels(wildcards):
    """Return what the report says beside a picture."""
    artwork = row(wildcards)
    return {
        "artwork": artwork.artwork,
        "prompt": artwork.prompt,
        "seed": str(artwork.seed),
        "candidate": (
            "none"
            if artwork.is_enlarged_only
            else f"{'the best' if artwork.choose == AUTO else artwork.choose} of {CONFIG.candidates}"
        ),
    }


# What a person is told


def greet():
    """Say what is painted with what."""
    used = project.needed(MODELS, ARTWORKS)
    networks = ", ".join(file.name for file in used.values() if file.is_network)
    logger.info(
        f"BIG.art: {project.counted(len(ARTWORKS), 'artwork')} with the models '{CONFIG.models}' "
        f"({networks}), engine {CONFIG.engine}, device {CONFIG.device}, precision "
        f"{CONFIG.precision}. Each stage logs its device, and the remaining time after its first step."
    )
    warnings = project.unknown_words(CONFIG, ARTWORKS, MODELS)
    warn(warnings)
    for path in list(PUT_BY_HAND)[:WARNINGS_SHOWN]:
        logger.warning(
            f"warning: {path} was put there by hand. It is kept, whatever changes, and what "
            "follows is painted from it. To have the workflow's own again, delete it."
        )
    if len(PUT_BY_HAND) > WARNINGS_SHOWN:
        logger.warning(f"warning: {len(PUT_BY_HAND) - WARNINGS_SHOWN} more such files")


def warn(warnings):
    """Say some warnings, each once."""
    warnings = [warning for warning in warnings if warning not in SAID]
    SAID.extend(warnings)
    for warning in warnings[:WARNINGS_SHOWN]:
        logger.warning(f"warning: {warning}")
    if len(warnings) > WARNINGS_SHOWN:
        logger.warning(
            f"warning: {len(warnings) - WARNINGS_SHOWN} more such lines; "
            "python workflow/scripts/check_config.py shows all"
        )


def check(jobs):
    """Return the error that jobs would fail, if that can be known now."""
    # takes time, and is needed only where there are jobs
    from bigart.config import preflight

    outputs = {file for job in jobs for file in job.output}
    errors = preflight.errors(CONFIG, ARTWORKS, MODELS, outputs, WEIGHTS)
    if not deploys_software():
        errors += preflight.package_errors(CONFIG, outputs)
    if runs_here() and (error := preflight.device_error(CONFIG)):
        errors.append(error)
    if errors:
        return together(errors)
    warn(preflight.cut_prompts(ARTWORKS, MODELS, WEIGHTS))
    say_how_long(outputs)
    return None


def say_how_long(outputs):
    """Say about how long the jobs will take that write these files."""
    from bigart.config import forecast

    if "how long" in SAID:
        return
    cores, networks = side_by_side()
    networks = networks or max(1, (cores or 1) // NETWORK_THREADS)
    machine = forecast.Machine(
        cores or networks * NETWORK_THREADS,
        networks,
        NETWORK_THREADS,
        cores is not None,
    )
    if words := forecast.forecast(CONFIG, ARTWORKS, MODELS, outputs, machine):
        SAID.append("how long")
        logger.info(words)


keep_former_files(RESULTS, made)
if is_main_process():
    greet()
    one_network_at_a_time()
    check_first(check, {"fetch_weights", "convert_weights"}.__contains__)
