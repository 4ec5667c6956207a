"""Pictures as arrays: read, textured, laid on a sheet, encoded. A change here repaints."""
