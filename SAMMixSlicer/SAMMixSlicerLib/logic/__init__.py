"""What the panel does, without Qt: each class is one job, and tells what changed through signals."""
