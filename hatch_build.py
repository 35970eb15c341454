"""Build the wheel of one service when `AIF_SERVICE` names it, and of everything when it does not.

One pyproject.toml describes all services, yet an image should hold only the code that it runs: what is not installed
can neither be imported by mistake nor attacked. The list of packages stays in pyproject.toml; this hook only narrows it.
All wheels keep the name ai-factory, so that one replaces the other when installed; build them into a folder per service.
"""

import os
from pathlib import PurePosixPath
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.builders.wheel import WheelBuilderConfig
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

SERVICE_VARIABLE = "AIF_SERVICE"
FOR_OTHER_PROGRAMS = "shared/aif_client"
"""Shared with those who order: no service runs it."""


class ServiceWheel(BuildHookInterface[WheelBuilderConfig]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Narrow packages, requirements, extras and scripts to one service; editable installs always see all of them."""
        service = os.environ.get(SERVICE_VARIABLE, "")
        if not service or version == "editable":
            return

        packages: list[str] = self.build_config.target_config["packages"]
        self.build_config.target_config["packages"] = packages_of(service, packages)

        project: ProjectMetadata[PluginManager] = self.metadata
        build_data["dependencies"].extend(project.core.optional_dependencies.get(service, []))
        # The extras and the `aif` command of the whole product would point at packages that this wheel lacks.
        project.core.optional_dependencies.clear()
        for name, target in list(project.core.scripts.items()):
            if not target.startswith(f"aif_{service}."):
                del project.core.scripts[name]


def packages_of(service: str, packages: list[str]) -> list[str]:
    """The packages that services share and those of one service, out of `shared/aif_ai`, `services/kam/aif_kam` and so on."""
    shared = [package for package in packages if PurePosixPath(package).parts[0] == "shared" and package != FOR_OTHER_PROGRAMS]
    by_service = {parts[1]: package for package in packages if (parts := PurePosixPath(package).parts)[0] == "services"}
    if service not in by_service:
        known = ", ".join(sorted(by_service))
        raise ValueError(f"{SERVICE_VARIABLE}={service!r} is no service; leave it empty or choose one of: {known}")
    return [*shared, by_service[service]]
