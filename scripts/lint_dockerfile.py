"""A few rules for a Dockerfile, for machines without an engine: pinned base, no root, nothing fetched by ADD."""

import re
import sys
from pathlib import Path


def problems(text: str) -> list[str]:
    """Every rule that the Dockerfile breaks."""
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip() and not line.startswith("#")]
    words = [line.split(maxsplit=1) for line in lines]
    known = {
        "FROM",
        "ARG",
        "ENV",
        "RUN",
        "COPY",
        "WORKDIR",
        "USER",
        "EXPOSE",
        "VOLUME",
        "ENTRYPOINT",
        "CMD",
        "HEALTHCHECK",
        "LABEL",
        "STOPSIGNAL",
    }
    found = [f"unknown or unwanted instruction {word[0]}" for word in words if word[0] not in known]
    found += [f"base without a tag: {word[1]}" for word in words if word[0] == "FROM" and ":" not in word[1]]
    users = [word[1] for word in words if word[0] == "USER"]
    if not users or users[-1] in {"root", "0"}:
        found.append("the last USER must not be root")
    if not any(word[0] == "HEALTHCHECK" for word in words):
        found.append("no HEALTHCHECK")
    return found


if __name__ == "__main__":
    broken = problems(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit("\n".join(broken) if broken else 0)
