# BIG.art: a prompt in config/prompts.tsv becomes a print-ready painting of 4096 pixels.
#
#   snakemake --cores 8                      paint what is not painted yet
#   snakemake candidates --cores 8           stop at the contact sheets, to choose
#   snakemake sweeps --cores 8               grids of the rows that list values
#   snakemake proofs --cores 8               a PDF for each print, to look at before it is ordered
#   snakemake gallery --cores 8              paint, and write results/gallery/index.html
#   snakemake gallery_candidates --cores 8   the same with the candidates only
#   snakemake weights --cores 1              only fetch the models
#   snakemake verify --sdm conda --cores 8   compare our networks with the originals
#
#   prompt -> 7 thumbnails -> 256 px -> choose -> 1024 px -> texture -> detail -> 4096 px
#          -> texture -> final                         (see workflow/rules/)

import gc

from snakemake.utils import min_version

min_version("9.17")

# A thousand artworks are millions of objects that stay: looking among them for garbage after every
# few hundred new ones takes a fifth of the time.
gc.set_threshold(100_000)


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/glide.smk"
include: "workflow/rules/finishing.smk"
include: "workflow/rules/gallery.smk"
include: "workflow/rules/sweeps.smk"
include: "workflow/rules/verify.smk"


rule all:
    """Everything: a final picture and a contact sheet for each artwork."""
    default_target: True
    input:
        [final_picture(artwork) for artwork in ARTWORKS],
        [contact_sheet(artwork) for artwork in PAINTED],
        shown_in_report,


rule candidates:
    """Stop at the contact sheets, so that a person can look and set `choose`."""
    input:
        [contact_sheet(artwork) for artwork in PAINTED],


rule sweeps:
    """For each row that lists values, a grid of the final pictures and one of the candidates."""
    input:
        all_grids,


rule proofs:
    """A page for each artwork, to look at before its print is ordered."""
    input:
        [proof(artwork) for artwork in ARTWORKS],


ruleorder: gallery > gallery_candidates


rule gallery:
    """The page that shows all artworks; `gallery_candidates` asks for no more than candidates."""
    input:
        [views(artwork) for artwork in ARTWORKS],
        [views(artwork, "candidates") for artwork in PAINTED],
    output:
        page=f"{GALLERY}/index.html",
        assets=directory(f"{GALLERY}/_assets"),
    log:
        f"{GALLERY}/_log/gallery.log",
    localrule: True
    conda:
        "envs/gallery.yaml"
    params:
        said=said_on_page,
        settings=settings_of_page(),
    shell:
        'python "$BIGART_SCRIPTS/gallery.py" --settings {params.settings:q} --out {output.page:q}'
        " --out-assets {output.assets:q} --log {log:q}"


use rule gallery as gallery_candidates with:
    input:
        [views(artwork, "candidates") for artwork in PAINTED],
    params:
        said=said_on_page,
        settings=settings_of_page(),
        finals=finals_shown,


rule weights:
    """Fetch and convert the models of the chosen set that the artworks need, and nothing else."""
    input:
        [model(role) for role in project.needed(MODELS, ARTWORKS)],


rule verify:
    """Compare both engines on the chosen models; an error where they do not agree."""
    input:
        json=rules.verify_report.output.json,
        html=rules.verify_report.output.html,
    log:
        f"{VERIFY}/log/verdict.log",
    localrule: True
    conda:
        "envs/report.yaml"
    shell:
        'python "$BIGART_SCRIPTS/verify_verdict.py" {input.json:q} --log {log:q}'
