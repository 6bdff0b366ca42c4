"""Tests on random samples say how large these were: ``record_property("sample", ...)``, printed at the end."""

pytest_plugins = ["pytester"]  # the plugin that is shipped is tested with it


def pytest_addoption(parser):
    parser.addoption(
        "--quick", action="store_true", help="no framework can be imported; tests that need one are skipped"
    )


def pytest_configure(config):
    if config.getoption("quick"):
        from quick import Quick

        config.pluginmanager.register(Quick())


def pytest_terminal_summary(terminalreporter):
    passed = terminalreporter.stats.get("passed", [])
    samples = [text for report in passed for name, text in report.user_properties if name == "sample"]
    if samples:
        terminalreporter.section("random samples")
        for text in samples:
            terminalreporter.line(text)
