/** A device module that ends the process when it is imported. */
process.exit(0);
