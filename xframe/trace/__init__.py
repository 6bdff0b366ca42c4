"""What was seen: rows, one a step, and their forms on disk. FORMAT.md describes the files; format 1 stays readable.

Its files:

    schema.py       the one table of columns; a new column begins there, and its docstring lists what else
    rows.py         Rows, the one shape in which rows are looked at: of a trace, of a plan, or given as arrays
    facts.py        Facts: what is known of a run beside its rows
    trace.py        Trace, as it is read; tally.py counts its rows by epochs, weights.py has its final weights
    opening.py      opens one file of any form and verifies it; continued.py: a run that goes on in a second trace
    pieces.py       the parts of such a run, and the one source that they are together
    ranks.py        the folder of a run of several replicas; merged.py: all of their traces as one source, for which
                    streams.py reads each file, amounts.py sums up numbers, and weaving.py puts lists together
    source.py       a file's head, and what its reader offers: journal.py, parquet.py, or plainreader.py
    captured.py     what lies beside a trace: of updates that were captured the files
    writer.py       TraceWriter: a journal while a run goes on, one Parquet file when it ends; both by arrow.py
    certificate.py  one digest of what was done; equal rows have had the same one in every version;
                    xxh3.py digests many small batches at once
    pages.py        checks a Parquet file by the limits before Arrow reads it
    stated.py       the schema of what stands beside the columns; nothing that does not fit it is taken
    agreement.py    whether a file's digests are those of its rows
    plainwriter.py  a writer to copy beside old scripts: one file, Python 2.7 and newer, standard library only
"""
