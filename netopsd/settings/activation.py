"""[activation] of netopsd.toml, and the folder of service templates."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.netconf.templates import Template, TemplateFile
from netopsd.settings.checks import validate
from netopsd.settings.files import Source
from netopsd.settings.parts import Reading
from netopsd.settings.problems import Problems

LARGEST = 1 << 20


def read_templates(reading: Reading, folder: str) -> Mapping[str, Template]:
    """Return the service templates by name; a folder that is not there holds none."""
    found: dict[str, Template] = {}
    where = reading.folder / folder
    if not where.is_dir():
        return found
    for path in sorted(where.glob("*.toml")):
        source = reading.source(f"{folder}/{path.name}")
        if source is None:
            continue
        spec = validate(TemplateFile, source.data, source, (), reading.problems)
        text = _text(reading, f"{folder}/{path.stem}.xml.j2", reading.problems)
        if spec is not None and text is not None:
            found[path.stem] = Template(name=path.stem, spec=spec, text=text)
    return found


def _text(reading: Reading, file: str, problems: Problems) -> str | None:
    """Return the text of a template, None where it is not there or is none."""
    from jinja2 import TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    source = Source(file=file, text="", data={})
    try:
        path = reading.folder / file
        if path.stat().st_size > LARGEST:
            problems.add(source, (), "larger than 1 MiB")
            return None
        text = path.read_text(encoding="utf-8")
        SandboxedEnvironment().parse(text)
    except OSError as error:
        problems.add(source, (), f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError:
        problems.add(source, (), "not UTF-8; save the file as UTF-8")
    except TemplateError as error:
        problems.add(source, (), f"not a Jinja template: {error}")
    else:
        return text
    return None
