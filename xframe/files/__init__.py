"""Files, whatever is in them: how they are made, and how much one may ask of its reader.

Its files:

    new.py      new files: exclusive, whole, on the disk before they take another's place
    tensors.py  arrays by name in a file that is safetensors
    limits.py   how much a file may ask for: its bytes of JSON, its values, its nesting; opening a regular file only
"""
