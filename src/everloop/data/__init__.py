"""Source -> snapshot -> profile -> schema verdict -> prepared."""
