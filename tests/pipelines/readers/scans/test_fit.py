"""Fits of body models: each representation, what each means, and such as are damaged or of unknown meaning."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from tessera.datasets.errors import FormatError
from tessera.pipelines.readers.scans.fit import any_fit, cape_fit, pamir_fit, thuman2_fit
from tessera.pipelines.readers.scans.fit_files import npz_arrays, read_fit
from trimesh.caching import TrackedArray

RNG = np.random.default_rng(7)


def row(size):
    return RNG.normal(size=(1, size)).astype(np.float32)


THUMAN2 = {
    "betas": row(10), "global_orient": row(3), "body_pose": row(63), "left_hand_pose": row(12),
    "right_hand_pose": row(12), "jaw_pose": row(3), "leye_pose": row(3), "reye_pose": row(3), "expression": row(10),
    "scale": np.array(0.416).view(TrackedArray), "translation": np.array([1.0, 2, 3]).view(TrackedArray),
}  # fmt: skip
LATER = {key: value for key, value in THUMAN2.items() if key not in ("scale", "translation")} | {
    "left_hand_pose": row(45), "right_hand_pose": row(45), "transl": row(3)}  # fmt: skip
PAMIR = {
    "betas": row(10), "global_orient": row(3), "body_pose": row(72), "global_body_translation": row(3)[0],
    "body_scale": np.array([0.5], np.float32), "body_pose_embedding": row(32),
}  # fmt: skip
CAPE = {"pose": row(72)[0].astype(np.float64), "transl": row(3)[0].astype(np.float64)}


def without(key):
    return {name: value for name, value in THUMAN2.items() if name != key}


def npz(values, **options):
    stream = io.BytesIO()
    np.savez(stream, **values)
    if options.get("compressed"):
        stream = io.BytesIO()
        np.savez_compressed(stream, **values)
    return stream.getvalue()


def test_the_fit_of_a_scan_of_thuman2(folder):
    folder.put("fits/0000/smplx_param.pkl", pickle.dumps(THUMAN2, 3))
    files = folder.files
    fit = read_fit(files, "fits/0000/smplx_param.pkl", "thuman2")
    assert (fit.model, fit.gender, fit.hands_pca, fit.flat_hand_mean) == ("smplx", "male", 12, False)
    for name in ("betas", "global_orient", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose",
                 "reye_pose", "expression"):  # fmt: skip
        found = getattr(fit, name)
        assert found.dtype == np.float64 and found.tolist() == THUMAN2[name][0].astype(np.float64).tolist()
    assert fit.scale == 0.416 and fit.translation.tolist() == [1, 2, 3] and fit.transl.tolist() == [0, 0, 0]
    assert fit.stand_in is None and type(fit.translation) is np.ndarray
    assert files.notes["fits/0000/smplx_param.pkl"].sha256


def test_trap_scale_comes_before_translation():
    """Passing translation / scale into the model and scaling then is the same."""
    fit, points = thuman2_fit(THUMAN2), RNG.normal(size=(5, 3))
    np.testing.assert_allclose(fit.to_scan(points), points * 0.416 + [1, 2, 3])
    np.testing.assert_allclose(fit.to_scan(points), (points + fit.translation / fit.scale) * fit.scale)


def test_trap_every_fit_of_thuman2_is_of_the_male_model_whoever_the_subject_is(folder):
    folder.put("a.pkl", pickle.dumps(THUMAN2 | {"gender": "female"}))
    assert read_fit(folder.files, "a.pkl", "thuman2").gender == "male"
    assert read_fit(folder.files, "a.pkl", "thuman2", "neutral").gender == "male"  # what is said of the later ones
    assert read_fit(folder.files, "a.pkl", "any", "female").gender == "female"  # somebody's own fit
    assert read_fit(folder.files, "a.pkl", "any").gender == "male"


def test_trap_thuman2_1_has_two_representations():
    """Before id 0526: components, scale and translation; after: axis-angles and transl, of a gender not stated."""
    with pytest.raises(FormatError, match=r"^0600: hands of 45 numbers are the later representation of THuman2\.1"):
        thuman2_fit(LATER, "0600")
    fit = thuman2_fit(LATER, "0600", "neutral")
    assert (fit.gender, fit.hands_pca, fit.flat_hand_mean, fit.scale) == ("neutral", 0, False, 1.0)
    assert len(fit.left_hand_pose) == 45 and fit.transl.tolist() == LATER["transl"][0].astype(float).tolist()
    assert not fit.translation.any()
    both = LATER | {"scale": np.array([0.5]), "translation": np.ones((1, 3)), "transl": np.zeros((1, 3))}
    assert thuman2_fit(both, "0600", "male").scale == 0.5


@pytest.mark.parametrize(
    "values, message",
    [
        (THUMAN2 | {"transl": row(3)}, "both transl and translation"),
        (LATER | {"scale": np.array(0.5)}, "of scale and translation only one"),
        (LATER | {"translation": np.ones(3)}, "of scale and translation only one"),
        ({key: value for key, value in LATER.items() if key != "transl"}, "neither translation nor transl"),
        (LATER | {"scale": np.array(0.5), "translation": np.ones(3)}, "both transl and translation"),
        (THUMAN2 | {"right_hand_pose": row(45)}, "hands of 12 and 45 numbers"),
        (THUMAN2 | {"right_hand_pose": row(6)}, r"right_hand_pose has the shape \(1, 6\), expected \(1, 12\) or"),
        (THUMAN2 | {"body_pose": row(66)}, r"body_pose has the shape \(1, 66\), expected \(1, 63\)"),
        (THUMAN2 | {"body_pose": np.zeros((2, 63))}, r"body_pose has the shape \(2, 63\)"),
        (THUMAN2 | {"body_pose": np.zeros((1, 21, 3))}, "body_pose has the shape"),
        (THUMAN2 | {"jaw_pose": np.full((1, 3), np.nan)}, "jaw_pose is not finite"),
        (THUMAN2 | {"jaw_pose": "abc"}, "jaw_pose holds no numbers"),
        (THUMAN2 | {"jaw_pose": [[0, 0], [0]]}, "jaw_pose holds no numbers"),
        (THUMAN2 | {"jaw_pose": np.array([True, False, True])}, "jaw_pose holds no numbers"),
        (THUMAN2 | {"scale": 0.0}, "scale is 0.0; a scale lies between"), (THUMAN2 | {"scale": -0.4}, "scale is -0.4"),
        (THUMAN2 | {"scale": np.ones(2)}, r"scale has the shape"), (THUMAN2 | {"scale": 1e5}, r"scale is 10+\.0"),
        (THUMAN2 | {"scale": 1e9}, r"scale holds 1e\+09; numbers of a fit are at most 1e\+06"),
        (THUMAN2 | {"scale": 1e-200}, "scale is 1e-200; a scale lies between 1e-06 and 10000"),
        (THUMAN2 | {"betas": np.full((1, 10), 1e30)}, r"betas holds 1e\+30"),
        (THUMAN2 | {"translation": [0, -1e200, 0]}, r"translation holds -1e\+200"),
        (THUMAN2 | {"body_pose": np.full((1, 63), 1e300)}, r"body_pose holds 1e\+300"),
        (LATER | {"transl": np.full((1, 3), 1.1e6)}, r"transl holds 1\.1e\+06"),
        (THUMAN2 | {"betas": np.zeros((1, 500))}, "betas has 500 numbers"),
        (THUMAN2 | {"betas": np.zeros(0)}, "betas has 0 numbers"),
        (THUMAN2 | {"tessera_stand_in": 5}, "tessera_stand_in is no text"),
        *((without(key), f"no {key}") for key in ("betas", "body_pose", "expression", "jaw_pose", "scale")),
    ],
)  # fmt: skip
def test_fits_of_another_shape_or_of_unknown_meaning_are_refused(values, message):
    with pytest.raises(FormatError, match=rf"^fits/0001: ({message})"):
        thuman2_fit(values, "fits/0001", "neutral" if len(values.get("left_hand_pose", [[]])[0]) == 45 else None)


def test_arrays_without_an_axis_before_and_lists_are_read():
    values = {key: np.asarray(value).reshape(-1) for key, value in THUMAN2.items()} | {"translation": [1, 2, 3.0]}
    assert thuman2_fit(values).translation.tolist() == [1, 2, 3]


@pytest.mark.parametrize("mark", ["anny 0.6.2", np.str_("anny 0.6.2"), np.array("anny 0.6.2")])
def test_fits_of_a_stand_in_say_so(mark):
    assert thuman2_fit(THUMAN2 | {"tessera_stand_in": mark}).stand_in == "anny 0.6.2"
    assert cape_fit(CAPE | {"tessera_stand_in": mark}, "male").stand_in == "anny 0.6.2"


def test_trap_pamirs_body_pose_begins_with_the_root(folder):
    folder.put("smpl/smpl_param.pkl", pickle.dumps(PAMIR, 2))
    fit = read_fit(folder.files, "smpl/smpl_param.pkl", "pamir", "neutral")
    assert (fit.model, fit.gender, fit.scale) == ("smpl", "neutral", 0.5)
    assert fit.global_orient.tolist() == PAMIR["body_pose"][0, :3].astype(float).tolist()
    assert fit.body_pose.tolist() == PAMIR["body_pose"][0, 3:].astype(float).tolist() and len(fit.body_pose) == 69
    assert fit.translation.tolist() == PAMIR["global_body_translation"].astype(float).tolist()
    assert not len(fit.left_hand_pose) and not len(fit.jaw_pose) and not len(fit.expression)
    with pytest.raises(FormatError, match="no body_scale"):
        pamir_fit({key: value for key, value in PAMIR.items() if key != "body_scale"})
    with pytest.raises(FormatError, match="does not say its gender"):
        read_fit(folder.files, "smpl/smpl_param.pkl", "pamir")


@pytest.mark.parametrize("compressed", [False, True])
def test_the_fit_of_cape(folder, compressed):
    folder.put("a.npz", npz(CAPE, compressed=compressed))
    fit = read_fit(folder.files, "a.npz", "cape", "female")
    assert (fit.model, fit.gender, fit.scale, fit.betas.tolist()) == ("smpl", "female", 1.0, [0.0] * 10)
    assert (
        fit.global_orient.tolist() == CAPE["pose"][:3].tolist() and fit.body_pose.tolist() == CAPE["pose"][3:].tolist()
    )
    assert fit.transl.tolist() == CAPE["transl"].tolist() and not fit.translation.any()
    with pytest.raises(FormatError, match="no transl"):
        cape_fit({"pose": CAPE["pose"]}, "male")


def test_fits_are_told_by_their_keys():
    assert any_fit(THUMAN2, None).hands_pca == 12 and any_fit(LATER, "male").gender == "male"
    assert any_fit(PAMIR, "male").model == any_fit(CAPE, "male").model == "smpl"
    assert any_fit(PAMIR, "male").scale == 0.5 and any_fit(CAPE, "female").scale == 1
    for values in (PAMIR, CAPE):
        with pytest.raises(FormatError, match="does not say its gender; give it"):
            any_fit(values, None)
    with pytest.raises(FormatError, match=r"^x: no fit that is known \(keys: Rh, Th, poses\)"):
        any_fit({"poses": row(87), "Rh": row(3), "Th": row(3)}, "male", "x")


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("a.pkl", pickle.dumps(THUMAN2 | {"x": Evil()}), r"names (posix|nt)\.system, which is refused"),
        ("a.pkl", pickle.dumps([1]), "holds a list, not"), ("a.pkl", pickle.dumps({1: 2}), "holds a dict, not"),
        ("a.pkl", pickle.dumps(THUMAN2)[:-40], "truncated"), ("a.pkl", b"", "truncated"),
        ("a.pkl", json.dumps({"betas": 1}).encode(), "pickle"),
        ("a.npz", b"", "no npz"), ("a.npz", npz(CAPE)[:-30], "no npz"), ("a.npz", pickle.dumps(1), "no npz"),
        ("a.npz", npz({"pose": np.array([None])}), "refused: numbers and texts"),
    ],
)  # fmt: skip
def test_damaged_and_hostile_files_are_refused(folder, name, data, message):
    folder.put(name, data)
    with pytest.raises(FormatError, match=rf"^{name}: .*{message}"):
        read_fit(folder.files, name, "any", "male")
    assert not os.path.exists("evil")
    with pytest.raises(FileNotFoundError):
        read_fit(folder.files, "b.pkl", "any")


def zipped(name, content, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def npy(shape, dtype="<f8", data=b""):
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize(
    "data, message",
    [
        (zipped("pose.npy", bytes(2_000_000)), "inflates to more than 1000000 bytes"),
        (zipped("pose.npy", npy((10**12,))), r"does not hold \(1000000000000,\) elements"),
        (zipped("pose.npy", npy((-1,))), "does not hold|header is damaged"),
        (zipped("pose.npy", npy((1,), "|O", bytes(8))), "refused"),
        (zipped("pose.npy", npy((1,), "<M8[s]", bytes(8))), "refused"),
        (zipped("pose.npy", b"\x93NUMPY\x09\x00"), "header is damaged"), (zipped("pose.npy", b""), "header is damaged"),
        (zipped("pose.npy", npy((0, 10**30))), "does not hold|header is damaged|damaged one"),
    ],
)  # fmt: skip
def test_archives_whose_sizes_are_only_claimed_are_refused(data, message):
    with pytest.raises(FormatError, match=rf"^a\.npz: .*({message})"):
        npz_arrays(data, "a.npz", most=1_000_000)


def test_archives_hold_arrays_of_any_order():
    values = {"a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.arange(6).reshape(2, 3)), "c": np.array("x"),
              "d": np.zeros((0, 3))}  # fmt: skip
    found = npz_arrays(npz(values), "a.npz")
    assert all(
        np.array_equal(found[name], value) and found[name].dtype == value.dtype for name, value in values.items()
    )
    assert found["b"].flags.writeable
