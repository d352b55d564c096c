"""Commands of SLURM that only write down what they are told."""

import os

SBATCH = """
id=$(($(cat "{folder}/count") + 1))
echo $id > "{folder}/count"
cp "$1" "{folder}/$id.sh"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
if [ -n "$last" ]; then for task in $(seq 0 $last); do echo "${{id}}_$task|PENDING"; done; else echo "$id|PENDING"; fi \
    >> "{folder}/queue"
echo "Submitted batch job $id"
"""
COMMANDS = {"sbatch": SBATCH, "squeue": 'cat "{folder}/queue"', "srun": "", "scontrol": "", "sacct": "exit 1"}


class FakeSlurm:
    """A folder of commands, which is first on the PATH."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        folder.mkdir()
        (folder / "count").write_text("0")
        self.set_states({})
        for name, script in COMMANDS.items():
            self.set_command(name, script)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def set_command(self, name, script):
        (self.folder / name).write_text("#!/bin/sh\n" + script.format(folder=self.folder))
        (self.folder / name).chmod(0o755)

    def set_states(self, states):
        """What squeue says: name of a job -> its state."""
        (self.folder / "queue").write_text("".join(f"{job}|{state}\n" for job, state in states.items()))

    def states(self):
        return dict(line.split("|") for line in (self.folder / "queue").read_text().split())

    def scripts(self):
        """What was submitted."""
        return [path.read_text() for path in sorted(self.folder.glob("*.sh"))]
