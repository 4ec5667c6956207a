"""Snakemake's marks of files that are being made, in the jobs of a cluster."""

from typing import Any

from snakemake.persistence import PersistenceBase  # type: ignore[import-untyped]


def leave_to_main_process() -> None:
    """Keep the marks of this job's files until Snakemake's main process has recorded them.

    Snakemake 9 marks the files of a job that starts as incomplete. Two processes take the mark
    away: that which runs the job on its node, and the main one, which at the same time records
    what the files were made with. Were the main process killed in between, the files would pass
    for made, with no record by which a later edit of the table could be noticed. With the mark
    they are made again.
    """

    async def finished(self: PersistenceBase, job: Any) -> None:
        pass

    PersistenceBase.finished = finished
