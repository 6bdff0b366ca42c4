"""Mistakes that people really made in moving a training, each as two scripts and a faithful twin.

Scripts are written as tutorials are; none imports xframe. A slip is an edit of a script, so that it can be seen whole.
"""
