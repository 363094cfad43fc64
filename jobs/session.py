"""The Spark session: the one that a cluster or spark-submit provides, or a local one with Delta."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

SUPPORTED_JAVA = (17, 21)


def require_java() -> None:
    """Raise ValueError unless the java that Spark would start is a supported one."""
    java_home = os.environ.get("JAVA_HOME")
    java = os.path.join(java_home, "bin", "java") if java_home else shutil.which("java")
    wanted = " or ".join(str(version) for version in SUPPORTED_JAVA)
    if java is None or not os.path.exists(java):
        where = f"JAVA_HOME is {java_home}, which has no bin/java" if java_home else "there is no java on the PATH"
        raise ValueError(f"Spark needs Java {wanted}, but {where}; install one (OpenJDK will do) and set JAVA_HOME")
    banner = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', banner)
    if found is None or int(found.group(1)) not in SUPPORTED_JAVA:
        version = found.group(1) if found else banner.strip()[:80] or "unknown"
        raise ValueError(f"Spark needs Java {wanted}, but {java} is Java {version}; set JAVA_HOME to a supported one")
