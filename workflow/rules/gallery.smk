# What the gallery and the report show: smaller and tiled forms of the pictures, and recipes.
# Only `gallery` and `gallery_candidates` need them; the plain run makes none. Names that begin with _
# are no artworks'.


def preview_of(artwork):
    return f"{RESULTS}/{artwork}/{STAGES['preview'].file}"


def views(artwork, kind="final"):
    """Return the folder of an artwork's renderings: `final` or `candidates`."""
    return f"{GALLERY}/{artwork}/{kind}"


@known
def compared_stages(wildcards):
    """Return an input: the pictures that are laid beside the final one, one a stage."""
    files = {
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
        "candidate": f"{artwork.choose} of {CONFIG.candidates}",
    }


rule preview:
    """The final picture, small enough for a screen."""
    input:
        image=final_of,
    output:
        report(
            result("preview"),
            caption="../report/preview.rst",
            category="1. Final pictures",
            labels=labels,
        ),
    log:
        log_file("preview"),
    benchmark:
        log_file("preview", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("preview"),
    conda:
        "../../envs/gallery.yaml"
    resources:
        **limits("preview"),
    params:
        changed=changed("preview", final_of),
        code=code("preview.py"),
        arguments=arguments("preview"),
    shell:
        'python "$BIGART_SCRIPTS/preview.py" {params.arguments:q} --log {log:q}'


rule candidate_views:
    """The candidates and their contact sheet as JPEG."""
    input:
        images=rules.upsampled.output,
        sheet=rules.contact_sheet.output[0],
    output:
        folder=directory(f"{GALLERY}/{{artwork}}/candidates"),
        sheet=report(
            f"{GALLERY}/{{artwork}}/candidates.jpg",
            caption="../report/candidates.rst",
            category="2. Candidates",
            labels=labels,
        ),
    log:
        f"{GALLERY}/_log/{{artwork}}-candidates.log",
    benchmark:
        f"{GALLERY}/_log/{{artwork}}-candidates.benchmark.tsv"
    conda:
        "../../envs/gallery.yaml"
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        changed=candidates_by_hand,
        code=code("candidate_views.py"),
    shell:
        'python "$BIGART_SCRIPTS/candidate_views.py" --images {input.images:q}'
        " --sheet {input.sheet:q} --out {output.folder:q} --out-sheet {output.sheet:q}"
        " --log {log:q}"


rule final_views:
    """Tiles of the final picture, the stages before it, and a page of its recipe."""
    input:
        final=final_of,
        preview=rules.preview.output[0],
        stages=compared_stages,
    output:
        folder=directory(f"{GALLERY}/{{artwork}}/final"),
        recipe=report(
            f"{GALLERY}/{{artwork}}/recipe.html",
            caption="../report/recipe.rst",
            category="3. Recipes, time and memory",
            labels=labels,
        ),
    log:
        f"{GALLERY}/_log/{{artwork}}-final.log",
    benchmark:
        f"{GALLERY}/_log/{{artwork}}-final.benchmark.tsv"
    conda:
        "../../envs/gallery.yaml"
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        changed=views_by_hand,
        code=code("final_views.py"),
        template=sha256(ROOT / "workflow/gallery/recipe.html"),
        logs=lambda wildcards: f"{RESULTS}/{wildcards.artwork}/log",
        stages=stage_arguments,
    shell:
        'python "$BIGART_SCRIPTS/final_views.py" --artwork={wildcards.artwork}'
        " --final {input.final:q} --preview {input.preview:q} {params.stages:q}"
        " --logs {params.logs:q} --out {output.folder:q} --out-recipe {output.recipe:q}"
        " --log {log:q}"
