"""What a mirror makes of each field of scanned people: it is changed right, or refused; nothing is passed on wrong."""

import pytest
from tessera.datasets.transforms._mirror import mirror_kind
from tessera.pipelines.discover import load_recipe

KINDS = {
    "picture": "image",
    "flat_picture": "alpha mask depth_f depth_b body_depth_f body_depth_b orientation_confidence",
    "vector_picture": "normal_f normal_b body_normal_f body_normal_b",
    "intrinsics": "intrinsics",
    "matrix": "world_from_camera calib world_from_scan",
    "vector": "points surface_normal body_vertices body_normals joints body_translation scan_surface "
    "scan_surface_normal",
    # neither left nor right, nor a direction
    "same": "body_visible scan_scale height points_strata sdf surface_rgb scan_surface_rgb body_scale "
    "body_scale_180 body_bary body_sdf cube_half_side",
    # left and right have names or places of their own, or axes, or nobody knows how
    "refused": "light noisy_normal_f noisy_normal_b noisy_normal_l noisy_normal_r body_parts body_normal_l "
    "body_normal_r body_depth_l body_depth_r side_l side_r relit relit_light orientation body_params "
    "body_translation_180 body_face grid grid_body_face grid_body_bary grid_body_sdf body_volume",
}


@pytest.mark.parametrize("recipe", ["thuman2", "scans"])
def test_every_field_is_mirrored_right_or_refused(recipe: str) -> None:
    found = load_recipe(recipe)
    schemas = found.schemas(found.options(with_="sides,relit,orientation,grid,voxels")).values()
    kinds = {field.name: mirror_kind(field.name, field) for schema in schemas for field in schema.fields}
    assert kinds == {name: kind for kind, names in KINDS.items() for name in names.split()}
