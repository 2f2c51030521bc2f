import { together } from '../together.js';

together('iommufd');
