# The proof that both engines make the same pictures: each stage in both, then a report.
# It needs no artworks; the native engine's results are the inputs of the other one.


rule verify_stage:
    """One stage's network, on the same inputs in either engine."""
    input:
        model=lambda wildcards: model(STAGES[wildcards.stage].role),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
        source=verify_source,
    output:
        f"{VERIFY}/{{engine}}/{{stage}}.safetensors",
    log:
        f"{VERIFY}/log/{{engine}}-{{stage}}.log",
    benchmark:
        f"{VERIFY}/log/{{engine}}-{{stage}}.benchmark.tsv"
    wildcard_constraints:
        engine="|".join(engines.ENGINES),
        stage="|".join(STAGES),
    conda:
        lambda wildcards: networks_environment(
            STAGES[wildcards.stage].architecture, wildcards.engine
        )
    threads: NETWORK_THREADS
    resources:
        gpu=1,
        device=CONFIG.device,
        mem_mb=grows(12000),
        runtime=grows(60),
    params:
        models=lambda wildcards: identity(
            STAGES[wildcards.stage].role, "vocabulary", "merges"
        ),
        device=CONFIG.device,
        code=version("verify_stage.py"),
    shell:
        'python "$BIGART_SCRIPTS/verify_stage.py"'
        " --stage {wildcards.stage} --engine {wildcards.engine} --model {input.model:q}"
        " --vocabulary {input.vocabulary:q} --merges {input.merges:q} --source {input.source:q}"
        " --out {output:q} --device {resources.device} --precision fp32 --threads {threads}"
        " --log {log:q}"


rule verify_report:
    """Differences, times and memory of all stages, for people and for programs."""
    input:
        native=expand(f"{VERIFY}/{engines.NATIVE}/{{stage}}.safetensors", stage=STAGES),
        upstream=expand(
            f"{VERIFY}/{engines.UPSTREAM}/{{stage}}.safetensors", stage=STAGES
        ),
    output:
        html=f"{VERIFY}/report.html",
        json=f"{VERIFY}/report.json",
    log:
        f"{VERIFY}/log/report.log",
    benchmark:
        f"{VERIFY}/log/report.benchmark.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        models=CONFIG.models,
        code=version("verify_report.py"),
        template=sha256(ROOT / "workflow/report/verify.html"),
    shell:
        'python "$BIGART_SCRIPTS/verify_report.py"'
        " --native {input.native:q} --upstream {input.upstream:q} --models {params.models:q}"
        " --html {output.html:q} --json {output.json:q} --log {log:q}"
