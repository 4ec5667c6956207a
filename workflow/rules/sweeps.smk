# The grids of the rows that list values: finals.png and candidates.png under results/sweeps/<row>/.


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
    files = ["preview.jpg"]
    if wildcards.shows == "candidates":
        file = STAGES["upsampled"].file
        files = [file.format(candidate=candidate) for candidate in CANDIDATES]
    artworks = [artwork.artwork for artwork in swept(wildcards)]
    return [f"{RESULTS}/{artwork}/{file}" for artwork in artworks for file in files]


@known
def swept_by_hand(wildcards):
    """Return a param: which of the pictures were put there by hand, and their hashes."""
    pictures = swept_pictures(wildcards) if PUT_BY_HAND else []
    return [
        f"{path} by hand: {PUT_BY_HAND[path]}"
        for path in pictures
        if path in PUT_BY_HAND
    ]


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
    ]


rule sweep_grid:
    """A picture for each combination of a row's values, under labels that say them."""
    input:
        swept_pictures,
    output:
        f"{RESULTS}/sweeps/{{sweep}}/{{shows}}.png",
    log:
        f"{RESULTS}/sweeps/{{sweep}}/log/{{shows}}.log",
    benchmark:
        f"{RESULTS}/sweeps/{{sweep}}/log/{{shows}}.benchmark.tsv"
    wildcard_constraints:
        sweep="[^/]+",
        shows="finals|candidates",
    conda:
        "../../envs/pictures.yaml"
    resources:
        mem_mb=grows(1500),
        runtime=grows(10),
    params:
        changed=swept_by_hand,
        code=code("sweep_grid.py"),
        arguments=grid_arguments,
    shell:
        'python "$BIGART_SCRIPTS/sweep_grid.py" {params.arguments:q} --out {output:q} --log {log:q}'
