# GLIDE: prompt -> 1-thumbnails/K.png (64 px) -> 2-upsampled/K.png (256 px) -> candidates.png


rule thumbnails:
    """Seven small pictures of the prompt, to choose from."""
    input:
        model=network("thumbnails"),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
    output:
        result("thumbnails"),
    log:
        log_file("thumbnails"),
    benchmark:
        log_file("thumbnails", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("thumbnails"),
    conda:
        environment_of("glide")
    threads: NETWORK_THREADS
    resources:
        **limits("thumbnails"),
        gpu=1,
    params:
        changed=changed("thumbnails"),
        models=identity("base", "vocabulary", "merges"),
        code=code("thumbnails.py"),
        arguments=arguments("thumbnails"),
    shell:
        'python "$BIGART_SCRIPTS/thumbnails.py" {params.arguments:q} --threads {threads} --log {log:q}'


rule picture:
    """A picture of one's own, as the other stages read it; the file itself is only read."""
    input:
        picture=own_file("picture"),
    output:
        result("picture"),
    log:
        log_file("picture"),
    benchmark:
        log_file("picture", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("picture"),
    conda:
        "../../envs/pictures.yaml"
    resources:
        **limits("picture"),
    params:
        content=own_content("picture"),
        code=code("take_picture.py"),
        arguments=arguments("picture"),
    shell:
        'python "$BIGART_SCRIPTS/take_picture.py" {params.arguments:q} --log {log:q}'


rule thumbnails_picture:
    """Small pictures that begin with that one and with noise, where `strength` says so."""
    input:
        image=rules.picture.output[0],
        model=network("thumbnails-picture"),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
    output:
        result("thumbnails-picture"),
    log:
        log_file("thumbnails-picture"),
    benchmark:
        log_file("thumbnails-picture", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("thumbnails-picture"),
    conda:
        environment_of("glide")
    threads: NETWORK_THREADS
    resources:
        **limits("thumbnails-picture"),
        gpu=1,
    params:
        changed=changed("thumbnails-picture", all_of("picture")),
        models=identity("base", "vocabulary", "merges"),
        code=code("thumbnails_picture.py"),
        arguments=arguments("thumbnails-picture"),
    shell:
        'python "$BIGART_SCRIPTS/thumbnails_picture.py" {params.arguments:q}'
        " --threads {threads} --log {log:q}"


rule thumbnails_repaint:
    """Small pictures of which a part is painted anew, and the rest is another artwork's."""
    input:
        former=former_of,
        mask=own_file("mask"),
        model=model(painter("base")),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
    output:
        result("thumbnails-repaint"),
    log:
        log_file("thumbnails-repaint"),
    benchmark:
        log_file("thumbnails-repaint", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("thumbnails-repaint"),
    conda:
        environment_of("glide")
    threads: NETWORK_THREADS
    resources:
        **limits("thumbnails-repaint"),
        gpu=1,
    params:
        changed=changed("thumbnails-repaint", former_of),
        content=own_content("mask"),
        models=identity(painter("base"), "vocabulary", "merges"),
        code=code("thumbnails_repaint.py"),
        arguments=arguments("thumbnails-repaint"),
    shell:
        'python "$BIGART_SCRIPTS/thumbnails_repaint.py" {params.arguments:q}'
        " --threads {threads} --log {log:q}"


rule thumbnails_clip:
    """The same for artworks that noised CLIP guides, which has a say at each step."""
    input:
        unpack(clip_files),
        model=network("thumbnails-clip"),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
    output:
        result("thumbnails-clip"),
    log:
        log_file("thumbnails-clip"),
    benchmark:
        log_file("thumbnails-clip", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("thumbnails-clip"),
    conda:
        environment_of("glide", own=STAGES["thumbnails-clip"].environment)
    threads: NETWORK_THREADS
    resources:
        **limits("thumbnails-clip"),
        gpu=1,
    params:
        changed=changed("thumbnails-clip"),
        models=clip_identity,
        code=code("thumbnails_clip.py"),
        arguments=arguments("thumbnails-clip"),
    shell:
        'python "$BIGART_SCRIPTS/thumbnails_clip.py" {params.arguments:q}'
        " --threads {threads} --log {log:q}"


rule upsampled:
    """The same pictures at 256 px, sharpened with the prompt in mind."""
    input:
        images=rules.thumbnails.output,
        model=network("upsampled"),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
    output:
        result("upsampled"),
    log:
        log_file("upsampled"),
    benchmark:
        log_file("upsampled", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("upsampled"),
    conda:
        environment_of("glide")
    threads: NETWORK_THREADS
    resources:
        **limits("upsampled"),
        gpu=1,
    params:
        changed=changed("upsampled", all_of("thumbnails")),
        models=identity("upsampler", "vocabulary", "merges"),
        code=code("upsample.py"),
        arguments=arguments("upsampled"),
    shell:
        'python "$BIGART_SCRIPTS/upsample.py" {params.arguments:q} --threads {threads} --log {log:q}'


rule upsampled_repaint:
    """The same pictures at 256 px, with that part and that artwork."""
    input:
        images=rules.thumbnails.output,
        former=former_of,
        mask=own_file("mask"),
        model=model(painter("upsampler")),
        vocabulary=model("vocabulary"),
        merges=model("merges"),
    output:
        result("upsampled-repaint"),
    log:
        log_file("upsampled-repaint"),
    benchmark:
        log_file("upsampled-repaint", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("upsampled-repaint"),
    conda:
        environment_of("glide")
    threads: NETWORK_THREADS
    resources:
        **limits("upsampled-repaint"),
        gpu=1,
    params:
        changed=changed("upsampled-repaint", former_by_hand(all_of("thumbnails"))),
        content=own_content("mask"),
        models=identity(painter("upsampler"), "vocabulary", "merges"),
        code=code("upsample_repaint.py"),
        arguments=arguments("upsampled-repaint"),
    shell:
        'python "$BIGART_SCRIPTS/upsample_repaint.py" {params.arguments:q}'
        " --threads {threads} --log {log:q}"


rule chosen:
    """The candidate that agrees best with the prompt, where `choose` is `auto`.

    Neither the identity of the networks nor the hash of the code is a param: a choice stays.
    """
    input:
        unpack(judge_files),
        images=rules.upsampled.output,
        thumbnails=rules.thumbnails.output,
    output:
        result("chosen"),
    log:
        log_file("chosen"),
    benchmark:
        log_file("chosen", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("chosen"),
    conda:
        environment_of("clip-image", own=STAGES["chosen"].environment)
    threads: NETWORK_THREADS
    resources:
        **limits("chosen"),
        gpu=1,
    params:
        changed=changed("chosen", judged_pictures),
        arguments=arguments("chosen"),
    shell:
        'python "$BIGART_SCRIPTS/judge.py" {params.arguments:q} --threads {threads} --log {log:q}'


rule contact_sheet:
    """The candidates side by side with their numbers: look, then set `choose` in the table."""
    input:
        unpack(chosen_by_clip),
        images=rules.upsampled.output,
    output:
        result("contact-sheet"),
    log:
        log_file("contact-sheet"),
    benchmark:
        log_file("contact-sheet", ".benchmark.tsv")
    wildcard_constraints:
        artwork=makes("contact-sheet"),
    conda:
        "../../envs/pictures.yaml"
    resources:
        **limits("contact-sheet"),
    params:
        changed=changed("contact-sheet", all_of("upsampled")),
        code=code("contact_sheet.py"),
        arguments=arguments("contact-sheet"),
    shell:
        'python "$BIGART_SCRIPTS/contact_sheet.py" {params.arguments:q} --log {log:q}'
