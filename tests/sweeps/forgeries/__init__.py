"""What the sweep over forged files is made of: honest files, their pieces, and what is put in place of one.

A forgery is a file whose digests are right: whoever makes one has this code.
"""
