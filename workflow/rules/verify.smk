# The proof that both engines make the same pictures: each stage in both, then a report.
# It needs no artworks; the native engine's results are the inputs of the other one.

for engine in engines.ENGINES:
    for architecture in dict.fromkeys(
        stage.architecture for stage in VERIFIED.values()
    ):

        rule:
            """The networks of one architecture, on the same inputs in either engine."""
            name:
                f"verify_{engine}_{architecture.replace('-', '_')}"
            input:
                unpack(verify_clip),
                model=verify_network,
                vocabulary=model("vocabulary"),
                merges=model("merges"),
                source=verify_source(engine),
            output:
                f"{VERIFY}/{engine}/{{stage}}.safetensors",
            log:
                f"{VERIFY}/log/{engine}-{{stage}}.log",
            benchmark:
                f"{VERIFY}/log/{engine}-{{stage}}.benchmark.tsv"
            wildcard_constraints:
                stage="|".join(
                    stage.name
                    for stage in VERIFIED.values()
                    if stage.architecture == architecture
                ),
            conda:
                environment_of(
                    architecture,
                    engine,
                    own=(
                        STAGES["chosen"].environment
                        if architecture == "clip-image"
                        else ""
                    ),
                )
            threads: NETWORK_THREADS
            resources:
                gpu=1,
                mem_mb=grows(12000),
                runtime=grows(60),
            params:
                models=lambda wildcards: identity(
                    COMPARED[wildcards.stage].role,
                    "vocabulary",
                    "merges",
                    *verify_clip(wildcards),
                ),
                clip=clip_arguments,
                device=CONFIG.device,
                code=code("verify_stage.py", engine, roles=["enlarger"]),
                engine=engine,
            shell:
                'python "$BIGART_SCRIPTS/verify_stage.py"'
                " --stage {wildcards.stage} --engine {params.engine} --model {input.model:q}"
                " --vocabulary {input.vocabulary:q} --merges {input.merges:q}"
                " {params.clip:q} --source {input.source:q} --out {output:q} --device {params.device}"
                " --precision fp32 --threads {threads} --log {log:q}"


rule verify_report:
    """Differences, times and memory of all stages, for people and for programs."""
    input:
        native=expand(
            f"{VERIFY}/{engines.NATIVE}/{{stage}}.safetensors", stage=VERIFIED
        ),
        upstream=expand(
            f"{VERIFY}/{engines.UPSTREAM}/{{stage}}.safetensors", stage=VERIFIED
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
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        models=CONFIG.models,
        code=code("verify_report.py"),
        template=sha256(ROOT / "workflow/report/verify.html"),
    shell:
        'python "$BIGART_SCRIPTS/verify_report.py"'
        " --native {input.native:q} --upstream {input.upstream:q} --models {params.models:q}"
        " --html {output.html:q} --json {output.json:q} --log {log:q}"
