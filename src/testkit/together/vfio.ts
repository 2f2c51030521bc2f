import { together } from '../together.js';

together('vfio');
