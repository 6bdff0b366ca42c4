"""Reads a page as a browser would, and refuses one whose tags do not fit."""

from html.parser import HTMLParser


class Outline(HTMLParser):
    """The tags with their attributes, the words, and whether each tag that is opened is closed in its turn."""

    VOID = ("meta", "br", "link", "input", "img", "hr")

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())
