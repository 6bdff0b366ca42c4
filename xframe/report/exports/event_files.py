"""TensorBoard's event file: a scalar for each number of a step, and what else is known of the run as a text.

The same trace gives the same bytes: the file's name and its times are the trace's own, not those of the export.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xframe.report.exports.export import COMPUTED, COUNTED, Export

_NAME = "events.out.tfevents.0000000000.xframe"


class EventFileExport(Export):
    """A folder with one event file; scalars are float32, as TensorBoard's, and validations stand at the step before.

    Scalars have the names of the trace's columns, which ``xframe import`` knows.
    """

    form, extra, states_ending = "tensorboard", "tensorboard", True

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers."""
        return tuple(name for name in (*COMPUTED, *COUNTED) if name in super(EventFileExport, self).columns)

    def write(self, path: Path) -> None:
        """Writes the folder."""
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.plugins.text.metadata import create_summary_metadata
            from tensorboard.summary.writer.record_writer import RecordWriter
            from tensorboard.util.tensor_util import make_tensor_proto
        except ImportError as error:
            raise self.missing(error) from None
        path.mkdir()
        with (path / _NAME).open("xb") as file:
            writer = RecordWriter(file)

            def put(step: int, time: float, numbers: Mapping[str, float]) -> None:
                summary = Summary(value=[Summary.Value(tag=name, simple_value=of) for name, of in numbers.items()])
                writer.write(Event(wall_time=time, step=step, summary=summary).SerializeToString())

            writer.write(Event(wall_time=self.began, file_version="brain.Event:2").SerializeToString())
            stated = {"certificate": self.trace.certificate, "ending": self.trace.ending, **self.facts()}
            lines = make_tensor_proto([f"{name}: {value}".encode() for name, value in stated.items()])
            text = Summary.Value(tag="run", metadata=create_summary_metadata("run", ""), tensor=lines)
            writer.write(Event(wall_time=self.began, summary=Summary(value=[text])).SerializeToString())
            for point in (*self.numbers(self.columns), *self.validated()):
                put(*point)
