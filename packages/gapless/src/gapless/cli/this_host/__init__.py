"""What this host has, and lacks, of what apps ask for."""
