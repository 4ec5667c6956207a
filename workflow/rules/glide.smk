# GLIDE: prompt -> 1-thumbnails/K.png (64 px) -> 2-upsampled/K.png (256 px) -> candidates.png


rule thumbnails:
    """Seven small pictures of the prompt, to choose from."""
    input:
        model=model("base"),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
    output:
        expand(
            f"{RESULTS}/{{artwork}}/1-thumbnails/{{candidate}}.png",
            candidate=CANDIDATES,
            allow_missing=True,
        ),
    log:
        f"{RESULTS}/{{artwork}}/log/1-thumbnails.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/1-thumbnails.benchmark.tsv"
    conda:
        networks_environment("glide")
    threads: NETWORK_THREADS
    resources:
        gpu=1,
        device=CONFIG.device,
        batch=CONFIG.batch,
        mem_mb=grows(8000),
        runtime=grows(180, upstream=300),
    params:
        prompt=of_artwork("prompt"),
        negative_prompt=of_artwork("negative_prompt"),
        seed=of_artwork("seed"),
        steps=of_artwork("steps"),
        sampler=of_artwork("sampler"),
        guidance=of_artwork("guidance"),
        models=identity("base", "vocabulary", "merges"),
        engine=CONFIG.engine,
        precision=PRECISION,
        code=version("thumbnails.py"),
    shell:
        'python "$BIGART_SCRIPTS/thumbnails.py"'
        " --model {input.model:q} --vocabulary {input.vocabulary:q}"
        " --merges {input.merges:q} --artwork={wildcards.artwork:q} --prompt={params.prompt:q}"
        " --negative-prompt={params.negative_prompt:q} --seed {params.seed}"
        " --steps {params.steps} --sampler {params.sampler} --guidance {params.guidance}"
        " --out {output:q}"
        " --device {resources.device} --precision {params.precision} --batch {resources.batch}"
        " --engine {params.engine} --threads {threads} --log {log:q}"


rule upsampled:
    """The same pictures at 256 px, sharpened with the prompt in mind."""
    input:
        images=rules.thumbnails.output,
        model=model("upsampler"),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
    output:
        expand(
            f"{RESULTS}/{{artwork}}/2-upsampled/{{candidate}}.png",
            candidate=CANDIDATES,
            allow_missing=True,
        ),
    log:
        f"{RESULTS}/{{artwork}}/log/2-upsampled.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/2-upsampled.benchmark.tsv"
    conda:
        networks_environment("glide")
    threads: NETWORK_THREADS
    resources:
        gpu=1,
        device=CONFIG.device,
        batch=CONFIG.batch,
        mem_mb=grows(8000, upstream=12000),
        runtime=grows(60, upstream=90),
    params:
        prompt=of_artwork("prompt"),
        seed=of_artwork("seed"),
        steps=of_artwork("upsample_steps"),
        temperature=of_artwork("upsample_temp"),
        models=identity("upsampler", "vocabulary", "merges"),
        engine=CONFIG.engine,
        precision=PRECISION,
        code=version("upsample.py"),
    shell:
        'python "$BIGART_SCRIPTS/upsample.py"'
        " --model {input.model:q} --vocabulary {input.vocabulary:q}"
        " --merges {input.merges:q} --artwork={wildcards.artwork:q} --prompt={params.prompt:q}"
        " --seed {params.seed} --steps {params.steps} --temperature {params.temperature}"
        " --images {input.images:q} --out {output:q}"
        " --device {resources.device} --precision {params.precision} --batch {resources.batch}"
        " --engine {params.engine} --threads {threads} --log {log:q}"


rule contact_sheet:
    """The candidates side by side with their numbers: look, then set `choose` in the table."""
    input:
        images=rules.upsampled.output,
    output:
        f"{RESULTS}/{{artwork}}/candidates.png",
    log:
        f"{RESULTS}/{{artwork}}/log/candidates.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/candidates.benchmark.tsv"
    conda:
        "../../envs/pictures.yaml"
    threads: 1
    resources:
        mem_mb=grows(500),
        runtime=grows(10),
    params:
        prompt=of_artwork("prompt"),
        seed=of_artwork("seed"),
        code=version("contact_sheet.py"),
    shell:
        'python "$BIGART_SCRIPTS/contact_sheet.py"'
        " --images {input.images:q} --artwork={wildcards.artwork:q}"
        " --prompt={params.prompt:q} --seed {params.seed} --out {output:q} --log {log:q}"
