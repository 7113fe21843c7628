"""Result files of evaluation tools, one tool a file; each registers its reader."""
