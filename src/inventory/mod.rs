//! Ansible-style YAML in, typed vars out.
