"""A wheel that has the library in it is one for this machine, but for any Python 3: nothing is compiled against it."""
import sysconfig

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True


class Wheel(bdist_wheel):
    def get_tag(self):
        return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")


setup(distclass=WithLibrary, cmdclass={"bdist_wheel": Wheel})
