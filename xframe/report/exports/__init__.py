"""Writes what a trace holds in the forms that other tools read. One file a form; ``exporting.EXPORTS`` lists them.

    exported = export_run("new.trace", "new.csv", form="csv")

An output that exists is refused, and of an export that failed nothing is left. A form that could not say that a run was
cut short takes only runs that ended well: read again, such a file would pass for a whole run.
"""

from xframe.report.exports.exporting import export_run as export_run
