# From the chosen candidate to the print:
# 3-enlarged-1024 -> 4-textured-1024 -> 5-detailed-1024 (optional) -> 6-enlarged-4096
# -> 7-textured-4096 -> final
#
# Device and batch are resources: another machine reruns nothing. Precision is a param, since it
# changes the pictures a little.


rule enlarged_1024:
    """The chosen candidate, four times larger."""
    input:
        image=chosen_candidate,
        model=model("enlarger"),
    output:
        f"{RESULTS}/{{artwork}}/3-enlarged-1024.png",
    log:
        f"{RESULTS}/{{artwork}}/log/3-enlarged-1024.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/3-enlarged-1024.benchmark.tsv"
    conda:
        networks_environment("rrdbnet")
    threads: NETWORK_THREADS
    resources:
        gpu=1,
        device=CONFIG.device,
        mem_mb=grows(4000),
        runtime=grows(15),
    params:
        models=identity("enlarger"),
        engine=CONFIG.engine,
        precision=PRECISION,
        code=version("enlarge.py"),
    shell:
        'python "$BIGART_SCRIPTS/enlarge.py"'
        " --model {input.model:q} --image {input.image:q}"
        " --stage enlarged-1024 --scale 4 --out {output:q} --device {resources.device}"
        " --precision {params.precision} --engine {params.engine} --threads {threads} --log {log:q}"


rule textured_1024:
    """Grey grain, which the next network turns into detail."""
    input:
        image=rules.enlarged_1024.output[0],
    output:
        f"{RESULTS}/{{artwork}}/4-textured-1024.png",
    log:
        f"{RESULTS}/{{artwork}}/log/4-textured-1024.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/4-textured-1024.benchmark.tsv"
    conda:
        "../../envs/pictures.yaml"
    threads: 1
    resources:
        mem_mb=grows(500),
        runtime=grows(10),
    params:
        amount=of_artwork("texture_amount"),
        size=of_artwork("texture_size"),
        seed=of_artwork("seed"),
        candidate=of_artwork("choose"),
        code=version("texture.py"),
    shell:
        'python "$BIGART_SCRIPTS/texture.py"'
        " --image {input.image:q} --out {output:q} --mono"
        " --amount {params.amount} --size {params.size} --seed {params.seed}"
        " --candidate {params.candidate} --stage textured-1024 --log {log:q}"


rule detailed:
    """Fine detail, invented by writing the picture in a codebook and reading it back."""
    input:
        image=rules.textured_1024.output[0],
        model=model("detailer"),
    output:
        f"{RESULTS}/{{artwork}}/5-detailed-1024.png",
    log:
        f"{RESULTS}/{{artwork}}/log/5-detailed-1024.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/5-detailed-1024.benchmark.tsv"
    conda:
        networks_environment("vqgan")
    threads: NETWORK_THREADS
    resources:
        gpu=1,
        device=CONFIG.device,
        mem_mb=grows(5000, upstream=7000),
        runtime=grows(15),
    params:
        models=identity("detailer"),
        engine=CONFIG.engine,
        precision=PRECISION,
        code=version("detail.py"),
    shell:
        'python "$BIGART_SCRIPTS/detail.py"'
        " --model {input.model:q} --image {input.image:q}"
        " --out {output:q} --device {resources.device} --precision {params.precision}"
        " --engine {params.engine} --threads {threads} --log {log:q}"


rule enlarged_4096:
    """The picture at print size, computed in strips that change nothing."""
    input:
        image=picture_to_enlarge,
        model=model("enlarger"),
    output:
        f"{RESULTS}/{{artwork}}/6-enlarged-4096.png",
    log:
        f"{RESULTS}/{{artwork}}/log/6-enlarged-4096.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/6-enlarged-4096.benchmark.tsv"
    conda:
        networks_environment("rrdbnet")
    threads: NETWORK_THREADS
    resources:
        gpu=1,
        device=CONFIG.device,
        mem_mb=grows(4000, upstream=30000),
        runtime=grows(30),
    params:
        models=identity("enlarger"),
        engine=CONFIG.engine,
        precision=PRECISION,
        code=version("enlarge.py"),
    shell:
        'python "$BIGART_SCRIPTS/enlarge.py"'
        " --model {input.model:q} --image {input.image:q}"
        " --stage enlarged-4096 --scale 4 --out {output:q} --device {resources.device}"
        " --precision {params.precision} --engine {params.engine} --threads {threads} --log {log:q}"


rule textured_4096:
    """Fine colour grain, so that the print has tooth."""
    input:
        image=rules.enlarged_4096.output[0],
    output:
        f"{RESULTS}/{{artwork}}/7-textured-4096.png",
    log:
        f"{RESULTS}/{{artwork}}/log/7-textured-4096.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/7-textured-4096.benchmark.tsv"
    conda:
        "../../envs/pictures.yaml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        amount=of_artwork("final_texture_amount"),
        size=of_artwork("final_texture_size"),
        seed=of_artwork("seed"),
        candidate=of_artwork("choose"),
        code=version("texture.py"),
    shell:
        'python "$BIGART_SCRIPTS/texture.py"'
        " --image {input.image:q} --out {output:q} --colour"
        " --amount {params.amount} --size {params.size} --seed {params.seed}"
        " --candidate {params.candidate} --stage textured-4096 --log {log:q}"


rule final:
    """The print: 300 DPI, sRGB, and the whole recipe inside."""
    input:
        image=rules.textured_4096.output[0],
    output:
        f"{RESULTS}/{{artwork}}/final.{{format}}",
    log:
        f"{RESULTS}/{{artwork}}/log/final-{{format}}.log",
    benchmark:
        f"{RESULTS}/{{artwork}}/log/final-{{format}}.benchmark.tsv"
    conda:
        "../../envs/pictures.yaml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        code=version("finish.py"),
    shell:
        'python "$BIGART_SCRIPTS/finish.py"'
        " --image {input.image:q} --out {output:q} --log {log:q}"
