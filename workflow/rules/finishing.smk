# From the chosen candidate to the print:
# 3-enlarged-1024 -> 4-textured-1024 -> 5-detailed-1024 (optional) -> 6-enlarged-4096
# -> 7-textured-4096 -> final
# A print of a size of its own: 6-enlarged-4096 -> 8-enlarged-print (optional) -> final


rule enlarged_1024:
    """The chosen candidate, four times larger."""
    input:
        image=chosen_candidate,
        model=network("enlarged-1024"),
    output:
        result("enlarged-1024"),
    log:
        log_file("enlarged-1024"),
    benchmark:
        log_file("enlarged-1024", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("enlarged-1024"),
    conda:
        environment_of("rrdbnet")
    threads: NETWORK_THREADS
    resources:
        **limits("enlarged-1024"),
        gpu=1,
    params:
        changed=changed("enlarged-1024", chosen_candidate),
        models=identity("enlarger"),
        code=code("enlarge.py", roles=["enlarger"]),
        arguments=arguments("enlarged-1024", "--stage", "enlarged-1024", "--scale", "4"),
    shell:
        'python "$BIGART_SCRIPTS/enlarge.py" {params.arguments:q} --threads {threads} --log {log:q}'


rule picture_1024:
    """A picture of one's own at 1024 pixels, for the detailer."""
    input:
        unpack(enlargers),
        image=rules.picture.output[0],
    output:
        result("picture-1024"),
    log:
        log_file("picture-1024"),
    benchmark:
        log_file("picture-1024", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("picture-1024"),
    conda:
        environment_of("rrdbnet")
    threads: NETWORK_THREADS
    resources:
        **limits("picture-1024"),
        gpu=1,
    params:
        changed=changed("picture-1024", all_of("picture")),
        models=enlargers_identity(),
        code=code("enlarge_picture.py", roles=ENLARGERS.values()),
        arguments=arguments(
            "picture-1024",
            "--stage",
            "picture-1024",
            "--side",
            str(picture_side() // 4),
        ),
    shell:
        'python "$BIGART_SCRIPTS/enlarge_picture.py" {params.arguments:q}'
        " --threads {threads} --log {log:q}"


rule textured_1024:
    """Grey grain, which the next network turns into detail."""
    input:
        image=rules.enlarged_1024.output[0],
    output:
        result("textured-1024"),
    log:
        log_file("textured-1024"),
    benchmark:
        log_file("textured-1024", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("textured-1024"),
    conda:
        "../../envs/pictures.yaml"
    resources:
        **limits("textured-1024"),
    params:
        changed=changed("textured-1024", all_of("enlarged-1024")),
        code=code("texture.py"),
        arguments=arguments("textured-1024", "--stage", "textured-1024"),
    shell:
        'python "$BIGART_SCRIPTS/texture.py" {params.arguments:q} --log {log:q}'


rule detailed:
    """Fine detail, invented by writing the picture in a codebook and reading it back."""
    input:
        image=rules.textured_1024.output[0],
        model=network("detailed"),
    output:
        result("detailed"),
    log:
        log_file("detailed"),
    benchmark:
        log_file("detailed", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("detailed"),
    conda:
        environment_of("vqgan")
    threads: NETWORK_THREADS
    resources:
        **limits("detailed"),
        gpu=1,
    params:
        changed=changed("detailed", all_of("textured-1024")),
        models=identity("detailer"),
        code=code("detail.py"),
        arguments=arguments("detailed"),
    shell:
        'python "$BIGART_SCRIPTS/detail.py" {params.arguments:q} --threads {threads} --log {log:q}'


rule enlarged_4096:
    """The picture at print size, computed in strips that change nothing."""
    input:
        image=picture_to_enlarge,
        model=network("enlarged-4096"),
    output:
        result("enlarged-4096"),
    log:
        log_file("enlarged-4096"),
    benchmark:
        log_file("enlarged-4096", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("enlarged-4096"),
    conda:
        environment_of("rrdbnet")
    threads: NETWORK_THREADS
    resources:
        **limits("enlarged-4096"),
        gpu=1,
    params:
        changed=changed("enlarged-4096", picture_to_enlarge),
        models=identity("enlarger"),
        code=code("enlarge.py", roles=["enlarger"]),
        arguments=arguments("enlarged-4096", "--stage", "enlarged-4096", "--scale", "4"),
    shell:
        'python "$BIGART_SCRIPTS/enlarge.py" {params.arguments:q} --threads {threads} --log {log:q}'


rule enlarged_picture:
    """A picture of one's own as large as its print, in its shape."""
    input:
        unpack(enlargers),
        image=picture_to_enlarge,
    output:
        result("enlarged-picture"),
    log:
        log_file("enlarged-picture"),
    benchmark:
        log_file("enlarged-picture", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("enlarged-picture"),
    conda:
        environment_of("rrdbnet")
    threads: NETWORK_THREADS
    resources:
        **limits("enlarged-picture"),
        gpu=1,
    params:
        changed=changed("enlarged-picture", picture_to_enlarge),
        models=enlargers_identity(),
        code=code("enlarge_picture.py", roles=ENLARGERS.values()),
        arguments=arguments(
            "enlarged-picture",
            "--stage",
            "enlarged-picture",
            "--side",
            str(picture_side()),
        ),
    shell:
        'python "$BIGART_SCRIPTS/enlarge_picture.py" {params.arguments:q}'
        " --threads {threads} --log {log:q}"


rule textured_4096:
    """Fine colour grain, so that the print has tooth."""
    input:
        image=rules.enlarged_4096.output[0],
    output:
        result("textured-4096"),
    log:
        log_file("textured-4096"),
    benchmark:
        log_file("textured-4096", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("textured-4096"),
    conda:
        "../../envs/pictures.yaml"
    resources:
        **limits("textured-4096"),
    params:
        changed=changed("textured-4096", all_of("enlarged-4096")),
        code=code("texture.py"),
        arguments=arguments("textured-4096", "--stage", "textured-4096", "--colour"),
    shell:
        'python "$BIGART_SCRIPTS/texture.py" {params.arguments:q} --log {log:q}'


rule final:
    """The print: 300 DPI, sRGB, and the whole recipe inside."""
    input:
        image=rules.textured_4096.output[0],
    output:
        result("final"),
    log:
        log_file("final"),
    benchmark:
        log_file("final", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("final"),
    conda:
        "../../envs/pictures.yaml"
    resources:
        **limits("final"),
    params:
        changed=changed("final", all_of("textured-4096")),
        code=code("finish.py"),
        arguments=arguments("final"),
    shell:
        'python "$BIGART_SCRIPTS/finish.py" {params.arguments:q} --log {log:q}'


rule enlarged_print:
    """Larger than 4096 pixels for a print, row by row and without seams."""
    input:
        unpack(networks_of_print),
        image=picture_of_print,
    output:
        result("enlarged-print"),
    log:
        log_file("enlarged-print"),
    benchmark:
        log_file("enlarged-print", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("enlarged-print"),
    conda:
        environment_of("rrdbnet")
    threads: NETWORK_THREADS
    resources:
        **limits("enlarged-print"),
        gpu=1,
    params:
        changed=changed("enlarged-print", picture_of_print, options=False),
        models=networks_identity,
        code=code("enlarge_print.py", roles=ENLARGERS.values()),
        arguments=arguments("enlarged-print"),
    shell:
        'python "$BIGART_SCRIPTS/enlarge_print.py" {params.arguments:q} --threads {threads} --log {log:q}'


rule final_print:
    """A print of a size of its own: cropped, exactly as large, with bleed, in its profile."""
    input:
        unpack(picture_to_finish),
    output:
        result("final-print"),
    log:
        log_file("final-print"),
    benchmark:
        log_file("final-print", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("final-print"),
    conda:
        "../../envs/pictures.yaml"
    resources:
        **limits("final-print"),
    params:
        changed=changed("final-print", picture_of_print),
        code=code("finish_print.py", without=["pictures/masks.py"]),
        arguments=arguments("final-print"),
    shell:
        'python "$BIGART_SCRIPTS/finish_print.py" {params.arguments:q} --log {log:q}'


rule final_repaint:
    """The print laid over another artwork's, which stays as it is where the mask is black."""
    input:
        unpack(picture_to_finish),
        former=former_of,
        mask=own_file("mask"),
    output:
        result("final-repaint"),
    log:
        log_file("final-repaint"),
    benchmark:
        log_file("final-repaint", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("final-repaint"),
    conda:
        "../../envs/pictures.yaml"
    resources:
        **limits("final-repaint"),
    params:
        changed=changed("final-repaint", former_by_hand(picture_of_print)),
        content=own_content("mask"),
        code=code("finish_print.py"),
        arguments=arguments("final-repaint"),
    shell:
        'python "$BIGART_SCRIPTS/finish_print.py" {params.arguments:q} --log {log:q}'


rule proof:
    """A page to look at before the print is ordered: parts of it in their printed size."""
    input:
        image=final_of,
    output:
        result("proof"),
    log:
        log_file("proof"),
    benchmark:
        log_file("proof", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("proof"),
    conda:
        "../../envs/proof.yaml"
    resources:
        **limits("proof"),
    params:
        changed=changed("proof", final_of),
        code=code("proof.py"),
        arguments=arguments("proof"),
    shell:
        'python "$BIGART_SCRIPTS/proof.py" {params.arguments:q} --log {log:q}'
