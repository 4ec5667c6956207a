# A smaller picture of the final one, for grids.


rule preview:
    """The final picture, small enough for a screen."""
    input:
        image=final_of,
    output:
        f"{RESULTS}/{{artwork}}/preview.jpg",
    log:
        f"{RESULTS}/{{artwork}}/log/preview.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/preview.benchmark.tsv"
    conda:
        "../../envs/pictures.yaml"
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        code=code("preview.py"),
    shell:
        'python "$BIGART_SCRIPTS/preview.py" --image {input.image:q} --out {output:q} --log {log:q}'
