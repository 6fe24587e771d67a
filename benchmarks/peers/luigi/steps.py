"""Luigi tasks that each need the one before, with a file as target, in the process itself with the local scheduler."""

import os

import luigi
from trivial import add_one, report, task


class One(luigi.Task):
    number = luigi.IntParameter()
    folder = luigi.Parameter()

    def requires(self):
        return One(number=self.number - 1, folder=self.folder) if self.number > 1 else []

    def output(self):
        return luigi.LocalTarget(os.path.join(self.folder, f"{self.number}.txt"))

    def run(self):
        value = 0
        if self.number > 1:
            with self.input().open() as file:
                value = int(file.read())
        with self.output().open("w") as file:
            file.write(str(add_one(value)))


if __name__ == "__main__":
    steps, folder, _ = task()
    last = One(number=steps, folder=folder)
    assert luigi.build([last], local_scheduler=True, workers=1, log_level="ERROR")
    with last.output().open() as file:
        report(int(file.read()))
