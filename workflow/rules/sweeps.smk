# The grids of the rows that list values: finals.png and candidates.png under results/sweeps/<row>/.


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
