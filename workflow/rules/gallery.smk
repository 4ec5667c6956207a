# What the gallery and the report show: smaller and tiled forms of the pictures, and recipes.
# Only `gallery` and `gallery_candidates` need them; the plain run makes none. Names that begin with _
# are no artworks'.


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
        unpack(chosen_by_clip),
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
        chosen=lambda wildcards, input: [
            f"--chosen={input[0]}" for kind in input.keys() if kind == "chosen"
        ],
    shell:
        'python "$BIGART_SCRIPTS/candidate_views.py" {params.chosen:q} --images {input.images:q}'
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
        code=code("final_views.py", without=["config/sources.py"]),
        template=sha256(ROOT / "workflow/gallery/recipe.html"),
        logs=lambda wildcards: f"{RESULTS}/{wildcards.artwork}/log",
        stages=stage_arguments,
    shell:
        'python "$BIGART_SCRIPTS/final_views.py" --artwork={wildcards.artwork}'
        " --final {input.final:q} --preview {input.preview:q} {params.stages:q}"
        " --logs {params.logs:q} --out {output.folder:q} --out-recipe {output.recipe:q}"
        " --log {log:q}"
