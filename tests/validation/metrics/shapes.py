"""Surfaces that are known without a mesh, and meshes of them."""

import numpy as np
import trimesh


def sphere(radius=1.0, centre=(0, 0, 0), subdivisions=4):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return np.asarray(mesh.vertices) + np.array(centre), np.asarray(mesh.faces)


def half_sphere(subdivisions=6):
    """The half of a unit sphere with z >= 0."""
    vertices, faces = sphere(subdivisions=subdivisions)
    return vertices, faces[vertices[faces][..., 2].mean(1) > 0]


def grid(count=8, side=1.0, height=0.0):
    """A flat square, [-side, side] on x and y."""
    line = np.linspace(-side, side, count + 1)
    y, x = np.meshgrid(line, line, indexing="ij")
    corner = (np.arange(count)[:, None] * (count + 1) + np.arange(count)).reshape(-1, 1)
    faces = np.concatenate([corner + np.array(three) for three in ([0, 1, count + 2], [0, count + 2, count + 1])])
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], 1), faces


def sphere_samples(count, radius, seed=0):
    """Even places on a sphere, and its normals."""
    normals = np.random.default_rng(seed).normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return radius * normals, normals


def torus_samples(count, major, minor, seed=0):
    """Even places on a torus, and its normals."""
    rng = np.random.default_rng(seed)
    tube = rng.uniform(0, 2 * np.pi, 4 * count)
    tube = tube[rng.uniform(size=len(tube)) * (major + minor) < major + minor * np.cos(tube)][:count]
    ring = rng.uniform(0, 2 * np.pi, len(tube))
    normals = np.stack([np.cos(tube) * np.cos(ring), np.cos(tube) * np.sin(ring), np.sin(tube)], 1)
    centre = np.stack([np.cos(ring), np.sin(ring), np.zeros_like(ring)], 1)
    return major * centre + minor * normals, normals


def torus_distance(points, major, minor):
    return np.abs(np.hypot(np.hypot(points[:, 0], points[:, 1]) - major, points[:, 2]) - minor)
