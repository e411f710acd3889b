"""From a learned field to the mesh of its surface, and meshes as files and pictures. Needs scipy and scikit-image."""
