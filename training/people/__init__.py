"""What engines for people share: pictures as networks see them, and bodies that a user fitted to a picture."""
