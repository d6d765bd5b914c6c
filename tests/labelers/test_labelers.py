import subprocess
import sys

import dpdata
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.labelers import known_elements, labeler_arguments, make_driver

from .conftest import SW, TYPE_MAP, XTB


def test_import_dpdata_registers_drivers_and_stays_light():
    code = """
import sys
import ipip_dp.hook
from dpdata.driver import Driver
from dpdata.format import Format
assert {"ipip/lammps", "ipip/ase", "ipip/dp"} <= set(Driver.get_drivers())
assert "ipip/labels" in Format.get_formats()
heavy = {"tensorflow", "torch"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    # the other way round: the hook runs while dpdata is only half imported
    subprocess.run([sys.executable, "-c", "import dpdata; dpdata.LabeledSystem.from_ipip_labels"], check=True)


@pytest.mark.parametrize("config", [SW, XTB, {"type": "dp", "models": ["graph.pb"]}])
def test_schema_accepts_valid_configs(config):
    argument = labeler_arguments("teacher", "the teacher")
    value = argument.normalize_value(config)
    argument.check_value(value, strict=True)


@pytest.mark.parametrize(
    "config",
    [
        {**SW, "pair_stile": "sw"},
        {**SW, "pair_coeff": "* * tmd.sw.mod Mo S"},
        {**SW, "elements": []},
        {"type": "ase"},
        {"type": "dp", "models": []},
        {"type": "vasp"},
    ],
)
def test_schema_rejects_invalid_configs(config):
    argument = labeler_arguments("teacher", "the teacher")
    with pytest.raises(Exception, match="pair_stile|pair_coeff|elements|calculator|models|vasp"):
        argument.check_value(config, strict=True)


def test_make_driver_names_the_known_types():
    with pytest.raises(IpipError, match="'vasp'.*lammps, ase, dp"):
        make_driver({"type": "vasp"}, TYPE_MAP)


def test_make_driver_wants_an_element_of_the_type_map():
    with pytest.raises(IpipError, match="no element in common"):
        make_driver(SW, ["H", "C"])


def test_known_elements():
    assert known_elements(SW) == ["Mo", "S"]
    assert known_elements(XTB) is None


def test_format_methods_exist_on_dpdata_classes():
    assert hasattr(dpdata.LabeledSystem, "from_ipip_labels")
