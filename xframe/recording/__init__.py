"""Taking what is seen: the recorder, and logs written by others."""
